"""The machine's clocks, behind the port that services use."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import trio

__all__ = ["SystemClock"]


class SystemClock:
    """Wall clock for facts, monotonic clock for waits."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
