"""Decide what the first screen tells: a heat strip per workflow, failures by cause, what fires next."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flowdapt.domain.run import Run, RunState
from flowdapt.domain.trigger_views import TriggerStatus
from flowdapt.tui.model.runs import RunWindow
from flowdapt.tui.model.words import state_of

__all__ = ["Failure", "Pulse", "Rhythm"]

STRIP = 30


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A workflow: its newest runs (the newest last), what they took in the middle, when it fires next."""

    workflow: str
    runs: tuple[Run, ...]
    median_s: float | None
    next_at: datetime | None = None

    @property
    def last(self) -> Run | None:
        return self.runs[-1] if self.runs else None

    @property
    def failed(self) -> int:
        return sum(run.state is RunState.FAILED for run in self.runs)


@dataclass(frozen=True, slots=True)
class Failure:
    """Runs that failed alike: the same error in the same stage of the same workflow."""

    workflow: str
    stage: str
    error: str
    count: int
    last: Run


@dataclass(slots=True)
class Pulse:
    """The newest runs, the rules and the workflows, kept up to date by events."""

    window: RunWindow = field(default_factory=RunWindow)
    workflows: tuple[str, ...] = ()
    rules: Sequence[TriggerStatus] = ()
    loaded: bool = False

    def take(
        self,
        runs: Sequence[Run],
        next_: str | None,
        workflows: Iterable[str],
        rules: Sequence[TriggerStatus],
    ) -> None:
        """Take everything as it was just read."""
        self.window.add_first(runs, next_)
        self.workflows, self.rules, self.loaded = tuple(workflows), rules, True

    def apply(self, events: Iterable[Mapping[str, Any]]) -> bool:
        """Take events; say whether everything is to be read again."""
        return self.window.apply(events)[1]

    @property
    def empty(self) -> bool:
        """Say whether the store holds nothing at all to look at."""
        return self.loaded and not (len(self.window) or self.workflows or self.rules)

    def rhythms(self) -> list[Rhythm]:
        """Return the workflows, those that ran last first, those that never did last."""
        by_name: dict[str, list[Run]] = {}
        for run in self.window.rows:
            by_name.setdefault(run.workflow, []).append(run)
        names = [*by_name, *(name for name in self.workflows if name not in by_name)]
        fires = self._fires_of()
        return [_rhythm(name, by_name.get(name, ()), fires.get(name)) for name in names]

    def failures(self) -> list[Failure]:
        """Return what failed among the newest runs, by cause, the newest first."""
        groups: dict[tuple[str, str, str], list[Run]] = {}
        for run in self.window.rows:
            if run.state is RunState.FAILED:
                groups.setdefault(_cause(run), []).append(run)
        return [Failure(*cause, len(runs), runs[0]) for cause, runs in groups.items()]

    def fires(self) -> list[tuple[datetime, TriggerStatus]]:
        """Return the next instants of the rules, the nearest first."""
        found = [(rule.next_at, rule) for rule in self.rules if rule.next_at is not None]
        return sorted(found, key=lambda one: one[0])

    def broken_rules(self) -> list[TriggerStatus]:
        return [rule for rule in self.rules if rule.broken]

    def states(self) -> dict[str, int]:
        """Return how many of the newest runs are in each state."""
        counts: dict[str, int] = {}
        for run in self.window.rows:
            word = state_of(run)
            counts[word] = counts.get(word, 0) + 1
        return counts

    def _fires_of(self) -> dict[str, datetime]:
        """Return when each workflow is started next; an action names its workflow in its words."""
        found: dict[str, datetime] = {}
        for when, rule in self.fires():
            for action in rule.actions:
                found.setdefault(action.rpartition(" ")[2], when)
        return found


def _rhythm(name: str, newest_first: Sequence[Run], next_at: datetime | None) -> Rhythm:
    took = [
        run.duration_s for run in newest_first if run.state is RunState.FINISHED and run.duration_s
    ]
    strip = tuple(reversed(newest_first[:STRIP]))
    return Rhythm(name, strip, statistics.median(took) if took else None, next_at)


def _cause(run: Run) -> tuple[str, str, str]:
    if run.error is None:
        return run.workflow, "", run.reason or "failed"
    return run.workflow, run.error.stage or "", run.error.type.rpartition(".")[2] or run.error.type
