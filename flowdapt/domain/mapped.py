"""Decide what a mapped stage does with the end of a slice: item by item, until all have ended.

How items are cut into slices is `mapping.py`; what the end of the stage means for the run is
`machine.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flowdapt.domain import facts
from flowdapt.domain.ledger import Ledger, Task
from flowdapt.domain.mapping import MapProgress
from flowdapt.domain.records import ItemRecord, StageRecord
from flowdapt.domain.retry import MAX_LOSSES, TIMEOUT, delay_s, failure_reason, may_retry
from flowdapt.domain.task import Cancelled, ErrorInfo, Finished, Lost, Outcome
from flowdapt.domain.workflow import StageSpec

__all__ = ["MappedStage", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the stage fails."""

    error: ErrorInfo
    reason: str


class MappedStage:
    """One mapped stage of an open run."""

    def __init__(
        self,
        ledger: Ledger,
        record: StageRecord,
        spec: StageSpec,
        progress: MapProgress,
        chance: Callable[[], float],
    ) -> None:
        self.progress = progress
        self._ledger = ledger
        self._record = record
        self._spec = spec
        self._chance = chance
        self.count()

    @property
    def name(self) -> str:
        return self._record.name

    def slice_ended(self, task: Task, outcome: Outcome, now: datetime) -> Verdict | None:
        """Take in what became of a slice; return why the stage fails, if it does."""
        progress = self.progress
        alone = task.stop - task.start == 1
        verdict: Verdict | None = None
        if isinstance(outcome, Finished):
            for failure in progress.close(task.start, task.stop, outcome):
                attempt = task.attempt if alone else 1
                verdict = verdict or self._item_failed(failure.index, attempt, failure.error, now)
        elif isinstance(outcome, Cancelled):
            progress.give_back(task.start, task.stop)
        elif not alone and (isinstance(outcome, Lost) or outcome.error.type == TIMEOUT):
            progress.halve(task.start, task.stop)
        elif isinstance(outcome, Lost):
            verdict = self._item_lost(task, outcome)
        elif alone:
            verdict = self._item_failed(task.start, task.attempt, outcome.error, now)
        else:
            verdict = Verdict(outcome.error, failure_reason(outcome.error))
        self.count()
        return verdict

    def _item_failed(
        self, index: int, attempt: int, error: ErrorInfo, now: datetime
    ) -> Verdict | None:
        if may_retry(self._spec.retry, error, attempt):
            wait_s = delay_s(self._spec.retry, attempt, self._chance())
            self.progress.retry_at(index, attempt, now + timedelta(seconds=wait_s), error)
            return None
        self.progress.fail(index, attempt, error)
        if self._spec.allow_partial_failure:
            return None
        return Verdict(facts.at_item(error, index), failure_reason(error))

    def _item_lost(self, task: Task, outcome: Lost) -> Verdict | None:
        self._record.losses += 1
        index = task.start
        if self._spec.on_lost == "retry" and self.progress.losses(index) + 1 < MAX_LOSSES:
            self.progress.retry_at(index, task.attempt, None, outcome.error, lost=True)
            return None
        self.progress.fail(index, task.attempt, outcome.error)
        if self._spec.allow_partial_failure:
            return None
        return Verdict(facts.at_item(outcome.error, index), "stage_crashed")

    def take(self, open_tasks: Iterable[Task], parallelism: int) -> list[Task]:
        """Return the slices that may start now beside those that are open."""
        self.progress.parallelism = parallelism
        running = sum(task.stage == self._record.name for task in open_tasks)
        taken: list[Task] = []
        while running + len(taken) < parallelism and (cut := self.progress.take()) is not None:
            taken.append(Task(self._record.name, *cut))
        return taken

    def changed_items(self) -> list[ItemRecord]:
        """Return the item records since the last call."""
        changed, self.progress.changed = self.progress.changed, {}
        return list(changed.values())

    def count(self) -> None:
        """Bring the counts of the stage's record up to date."""
        record, progress = self._record, self.progress
        record.items_total = progress.total
        record.items_finished = progress.finished
        record.items_failed = len(progress.failed)
        self._ledger.touch(record)
