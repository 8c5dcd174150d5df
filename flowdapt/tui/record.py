"""Keep what the TUI did as the commands that do the same: what `ctrl+l` shows."""

from __future__ import annotations

import shlex
from collections import deque
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Record", "Recorded"]

_MOST = 500


@dataclass(frozen=True, slots=True)
class Recorded:
    """One act: when, the command, and what came of it (empty while it is under way)."""

    at: datetime
    command: str
    outcome: str = ""


class Record:
    """The last 500 acts of this TUI, oldest first."""

    def __init__(self) -> None:
        self._acts: deque[Recorded] = deque(maxlen=_MOST)

    def add(self, at: datetime, *words: str, outcome: str = "") -> None:
        """Note `flowdapt WORDS`. Screens add what changed something, and what a person may repeat."""
        self._acts.append(Recorded(at, shlex.join(["flowdapt", *words]), outcome))

    @property
    def acts(self) -> tuple[Recorded, ...]:
        return tuple(self._acts)
