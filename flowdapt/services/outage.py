"""Tell of the outages of one executor: in the journal once when it begins and once when it ends, and as a warning.

An outage that only a check has seen is nobody's business but the check's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from flowdapt.domain.executor_facts import executor_available, executor_unavailable

if TYPE_CHECKING:
    from flowdapt.domain.events import EventDraft

__all__ = ["Outage"]


class Outage:
    """Whether an executor is away, since when and why."""

    def __init__(
        self,
        name: str,
        kind: str,
        tell: Callable[[EventDraft], None],
        report: Callable[[str, str | None], None],
    ) -> None:
        self.since: float | None = None
        self.words: str | None = None
        self._name = name
        self._kind = kind
        self._tell = tell
        self._report = report
        self._told = False

    @property
    def age_s(self) -> float:
        """Return how long it has been away."""
        return 0.0 if self.since is None else trio.current_time() - self.since

    def note(self, words: str, *, tell: bool = True) -> None:
        """Take note that it is away; `tell` when somebody needs it."""
        self.words = words
        if self.since is None:
            self.since = trio.current_time()
        if not tell:
            return
        self._report(f"executor {self._name}", f"executor {self._name} is unavailable: {words}")
        if not self._told:
            self._told = True
            self._tell(executor_unavailable(self._name, self._kind, words))

    def end(self) -> bool:
        """Take note that it is there; return whether an end was told."""
        told = self._told
        if told:
            self._tell(executor_available(self._name, self._kind, self.age_s))
        self.forget()
        return told

    def forget(self) -> None:
        """Have nothing to do with it any more."""
        self.since, self.words, self._told = None, None, False
        self._report(f"executor {self._name}", None)
