"""Say which runs are open, active or ended in words of SQL: of partial indexes and of queries alike."""

from __future__ import annotations

from collections.abc import Iterable

from flowdapt.domain.run import RunState

__all__ = ["ACTIVE_RUN", "OPEN_RUN", "TERMINAL_RUN", "one_of"]


def one_of(column: str, words: Iterable[str]) -> str:
    """Return the condition that a column holds one of our own words."""
    return f"{column} IN ({', '.join(repr(str(word)) for word in words)})"


OPEN_RUN = one_of("state", [s.value for s in RunState if not s.terminal])
ACTIVE_RUN = one_of("state", [RunState.RUNNING, RunState.CANCELLING])
TERMINAL_RUN = one_of("state", [s.value for s in RunState if s.terminal])
