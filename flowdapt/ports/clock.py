"""Promise time: monotonic for waits, aware UTC for facts. One injectable clock, so that tests own it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """The only source of time in services."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC. May jump in both directions."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; the zero is arbitrary."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait at least so long on the monotonic clock. Cancellable."""
        ...
