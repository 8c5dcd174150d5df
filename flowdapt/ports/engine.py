"""Promise hints from the compute service in the same process, when there is one.

Services meet in the store; this only saves a round trip. Everything works without it: a submission
is then stored queued and claimed by the next poll, and live counts come with the next commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Engine", "LiveStage"]


@dataclass(frozen=True, slots=True)
class LiveStage:
    """What runs at this moment.

    `running` counts items of a mapped stage (1 for a simple one), `progress` is (done, total) as the
    stage last said, `waiting_for` says in words what a ready stage lacks.
    """

    running: int = 0
    progress: tuple[float, float | None] | None = None
    waiting_for: str | None = None


class Engine(Protocol):
    """Implemented by `services.compute.Compute`."""

    @property
    def owner(self) -> str:
        """Return the name under which this instance owns runs."""
        ...

    def admits(self, executor: str) -> bool:
        """Say whether a run submitted now would be driven here at once. Never blocks."""
        ...

    def holds(self) -> str | None:
        """Say in words why no run is begun here now; None while runs are begun. Never blocks."""
        ...

    def live(self, uid: str) -> Mapping[str, LiveStage]:
        """Return what runs now of a run driven here, by stage; empty for others. Never blocks."""
        ...
