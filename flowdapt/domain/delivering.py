"""Decide how an action outside the store is named in all its tries, and when the next try is due."""

from __future__ import annotations

import hashlib
import random
from datetime import datetime

from flowdapt.domain.fire import Delivery

__all__ = ["MAX_TRIES", "PAUSES_S", "delivery_id", "pause_s"]

# The longest pause before each further try: soon at first, and the last one within a day of the first.
PAUSES_S = (1.0, 10.0, 60.0, 600.0, 3600.0, 4 * 3600.0, 16 * 3600.0)
MAX_TRIES = len(PAUSES_S) + 1
_LONGEST_WISH_S = 3600.0


def delivery_id(delivery: Delivery, fired_at: datetime) -> str:
    """Return the name of one action of one fire: the same in every try, another in any other database."""
    told = f"{delivery.number} {delivery.fire} {delivery.rule} {fired_at.timestamp()}"
    return f"dlv-{delivery.number}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def pause_s(attempt: int, wish_s: float = 0.0) -> float:
    """Return the pause after a failed try: jittered, and not shorter than the receiver's wish."""
    longest = PAUSES_S[min(attempt, len(PAUSES_S)) - 1]
    jittered = longest * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
    return max(jittered, min(wish_s, _LONGEST_WISH_S))
