"""Choose what is random in a fault test, so that it can be had again."""

from __future__ import annotations

import os
import random
import sys

__all__ = ["chosen_seed"]


def chosen_seed() -> int:
    """Return a new seed, or that of `FLOWDAPT_SEED`; printed, so that a failure shows it."""
    seed = int(os.environ.get("FLOWDAPT_SEED") or random.SystemRandom().randrange(2**32))
    sys.stdout.write(f"FLOWDAPT_SEED={seed}\n")
    return seed
