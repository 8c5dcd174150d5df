"""Decide how the items of a mapped stage are cut into chunks, and keep account of each item.

Chunks are guided: a share of what is left, bounded by what the measured time of an item allows. A
worker stops a chunk when its time budget is over and the rest comes back, so a wrong guess costs one
budget, never a long tail. A chunk that killed its worker is halved until the culprit stands alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from heapq import heappop, heappush

from flowdapt.domain.handles import only_held
from flowdapt.domain.records import ItemRecord, TaskRecord
from flowdapt.domain.task import ErrorInfo, Finished, ItemFailure, Part, ValueRef

__all__ = ["BUDGET_S", "MapProgress"]

BUDGET_S = 0.25
# Below this much work a chunk is mostly overhead.
_WORTH_S = 0.002


class MapProgress:
    """The account of one mapped stage: which items wait, run, are done, failed, or are due again."""

    def __init__(self, stage: str, total: int, parallelism: int) -> None:
        self.stage = stage
        self.total = total
        self.finished = 0
        self.parts: list[Part] = []
        self.failed: dict[int, ErrorInfo] = {}
        self.items: dict[int, ItemRecord] = {}
        self.changed: dict[int, ItemRecord] = {}
        self.parallelism = parallelism
        self._ranges: deque[tuple[int, int]] = deque([(0, total)] if total else [])
        self._solo: deque[int] = deque()
        self._due: list[tuple[datetime, int]] = []
        self._waiting = total
        self._item_s: float | None = None

    @classmethod
    def restore(
        cls,
        stage: str,
        total: int,
        parallelism: int,
        tasks: Iterable[TaskRecord],
        items: Iterable[ItemRecord],
    ) -> MapProgress:
        """Return the account as the stored chunks and item records tell it."""
        progress = cls(stage, total, parallelism)
        progress.items = {item.index: item for item in items}
        chunks = [task for task in tasks if task.state == "finished" and task.value is not None]
        progress.parts = [Part(task.start, task.stop, task.value) for task in chunks if task.value]
        progress._ranges = deque(_uncovered(total, progress.parts))
        progress._set_known_losses_apart()
        alone = len(progress._solo)
        open_items = 0
        for item in progress.items.values():
            if item.state == "failed" and item.error is not None:
                progress.failed[item.index] = item.error
            if item.state != "finished" and _covered(item.index, progress.parts):
                open_items += 1
                progress._resume(item)
        progress._waiting = sum(stop - start for start, stop in progress._ranges)
        progress.finished = total - progress._waiting - alone - open_items
        return progress

    def _resume(self, item: ItemRecord) -> None:
        if item.state == "retrying" and item.next_at is not None:
            heappush(self._due, (item.next_at, item.index))
        elif item.state == "retrying":
            self._solo.append(item.index)

    def _set_known_losses_apart(self) -> None:
        """Run items that already killed a worker alone, so that a restart does not count anew."""
        suspects = sorted(
            i for i, item in self.items.items() if item.losses and item.state == "retrying"
        )
        for index in suspects:
            for at, (start, stop) in enumerate(self._ranges):
                if start <= index < stop:
                    del self._ranges[at]
                    self._ranges.extend(
                        r for r in ((start, index), (index + 1, stop)) if r[0] < r[1]
                    )
                    self._solo.append(index)
                    break

    @property
    def done(self) -> bool:
        """Say whether every item has ended, one way or the other."""
        return self.finished + len(self.failed) == self.total

    def take(self) -> tuple[int, int, int] | None:
        """Return the next (start, stop, attempt) to run, or None."""
        if self._solo:
            index = self._solo.popleft()
            return index, index + 1, self._attempts_used(index) + 1
        if not self._ranges:
            return None
        start, stop = self._ranges.popleft()
        cut = min(stop, start + self._size())
        if cut < stop:
            self._ranges.appendleft((cut, stop))
        self._waiting -= cut - start
        return start, cut, 1

    def _size(self) -> int:
        share = -(-self._waiting // (max(1, self.parallelism) * (2 if self._item_s else 4)))
        if self._item_s is None:
            return max(1, share)
        item_s = max(self._item_s, 1e-9)
        return max(1, min(max(share, int(_WORTH_S / item_s)), int(BUDGET_S / item_s)))

    def _attempts_used(self, index: int) -> int:
        item = self.items.get(index)
        return item.attempt if item else 0

    def give_back(self, start: int, stop: int) -> None:
        """Put items back that did not run: drained, or over the budget of their chunk."""
        if stop - start == 1 and start in self.items:
            self._solo.appendleft(start)
        elif start < stop:
            self._ranges.append((start, stop))
            self._waiting += stop - start

    def halve(self, start: int, stop: int) -> None:
        """Put a chunk back in two halves, since one of its items killed or hung the worker."""
        middle = (start + stop) // 2
        self._ranges.extendleft([(middle, stop), (start, middle)])
        self._waiting += stop - start

    def lose(self, gone: Collection[str]) -> bool:
        """Put the items back whose results were among what is gone; say whether there are such."""
        kept: list[Part] = []
        lost: list[Part] = []
        for part in self.parts:
            (kept if set(gone).isdisjoint(only_held(part.value)) else lost).append(part)
        if not lost:
            return False
        self.parts = kept
        # What failed for good has no result to lose, and what waits for its retry runs anyway.
        apart = {i for i, item in self.items.items() if item.state == "retrying"} | set(self.failed)
        covers = [(part.start, part.stop) for part in kept] + [(i, i + 1) for i in apart]
        again = list(_without([(part.start, part.stop) for part in lost], covers))
        self._ranges.extend(again)
        count = sum(stop - start for start, stop in again)
        self._waiting += count
        self.finished -= count
        return True

    def close(self, start: int, stop: int, outcome: Finished) -> list[ItemFailure]:
        """Take a finished chunk in; return the failures, which the caller judges one by one."""
        reached = max(start, min(outcome.reached or stop, stop))
        ran = reached - start
        if ran:
            measured = outcome.duration_s / ran
            self._item_s = measured if self._item_s is None else 0.5 * (self._item_s + measured)
        self.parts.append(Part(start, reached, outcome.value))
        self.finished += ran - len(outcome.failures)
        if start in self.items and ran == 1 and not outcome.failures:
            self._note(start, "finished", self._attempts_used(start) + 1)
        self.give_back(reached, stop)
        return list(outcome.failures)

    def retry_at(
        self,
        index: int,
        attempt: int,
        when: datetime | None,
        error: ErrorInfo,
        *,
        lost: bool = False,
    ) -> None:
        """Run an item alone again, at `when` (None: as soon as a slot is free)."""
        losses = self._losses(index) + lost
        used = attempt - 1 if lost else attempt
        record = ItemRecord(self.stage, index, "retrying", used, losses, when, error)
        self.items[index] = self.changed[index] = record
        if when is None:
            self._solo.append(index)
        else:
            heappush(self._due, (when, index))

    def fail(self, index: int, attempt: int, error: ErrorInfo) -> None:
        """Close an item for good; the result keeps its position, as None."""
        self.failed[index] = error
        self._note(index, "failed", attempt, error)

    def losses(self, index: int) -> int:
        """Return how many workers died under this item alone."""
        return self._losses(index)

    def _losses(self, index: int) -> int:
        item = self.items.get(index)
        return item.losses if item else 0

    def _note(self, index: int, state: str, attempt: int, error: ErrorInfo | None = None) -> None:
        record = ItemRecord(self.stage, index, state, attempt, self._losses(index), None, error)
        self.items[index] = self.changed[index] = record

    def next_due(self) -> datetime | None:
        """Return the earliest instant at which an item is to be tried again."""
        return self._due[0][0] if self._due else None

    def release_due(self, now: datetime) -> None:
        """Make the items runnable whose wait is over."""
        while self._due and self._due[0][0] <= now:
            self._solo.append(heappop(self._due)[1])

    def result(self) -> ValueRef:
        """Return the whole list by reference: the parts in the order in which they override."""
        if len(self.parts) == 1 and self.parts[0].start == 0 and self.parts[0].stop == self.total:
            return self.parts[0].value
        ordered = sorted(self.parts, key=lambda part: (part.stop - part.start == 1, part.start))
        size = sum(part.value.size_bytes for part in ordered)
        return ValueRef(kind="parts", parts=tuple(ordered), length=self.total, size_bytes=size)


def _covered(index: int, parts: list[Part]) -> bool:
    return any(part.start <= index < part.stop for part in parts)


def _uncovered(total: int, parts: list[Part]) -> list[tuple[int, int]]:
    """Return the ranges of [0, total) that no part covers."""
    return list(_without([(0, total)], [(part.start, part.stop) for part in parts]))


def _without(
    ranges: Iterable[tuple[int, int]], holes: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield what is left of the ranges, which may overlap, without the holes; in order, apart."""
    cut = sorted(holes)
    at = 0
    for start, stop in sorted(ranges):
        at = max(at, start)
        for hole_start, hole_stop in cut:
            if hole_start >= stop:
                break
            if hole_stop <= at:
                continue
            if at < hole_start:
                yield at, hole_start
            at = max(at, hole_stop)
        if at < stop:
            yield at, stop
            at = stop
