"""Keep the log lines of runs in files: taken without waiting, written by one thread, bounded everywhere.

How a log lies on disk is left to `log_files.py`, what a question finds to `log_reading.py`.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from flowdapt.domain.segment import check_name
from flowdapt.domain.task import LogLine
from flowdapt.ports.logs import LogPage, LogQuery, LogStore
from flowdapt.stores.log_files import Entry, LogFiles, remove_log
from flowdapt.stores.log_reading import read_page

__all__ = ["FileLogStore"]

CAP_BYTES = 256 * 1024 * 1024
# What may wait for the disk; beyond it lines are counted instead of kept.
PENDING_MAX_BYTES = 16 * 1024 * 1024
LINE_COST_BYTES = 200
# Lines of one moment share a write; readable within 0.5 s is the promise.
GATHER_S = 0.03
OPEN_RUNS = 256
GONE_RUNS = 10_000
READERS = 4


@dataclass(slots=True)
class _Batch:
    """What the writer takes at once, in order of arrival per run."""

    lines: dict[str, list[Entry]] = field(default_factory=dict)
    dropped: dict[str, Entry] = field(default_factory=dict)
    dropped_counts: dict[str, int] = field(default_factory=dict)
    deletions: list[str] = field(default_factory=list)
    size_bytes: int = 0
    waiters: list[tuple[trio.lowlevel.TrioToken, trio.Event]] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.lines or self.dropped or self.deletions or self.waiters)


class FileLogStore(LogStore):
    """Logs below `root`, as `<run>/log.*`. Call `close` at the end."""

    def __init__(
        self,
        root: Path,
        *,
        cap_bytes: int = CAP_BYTES,
        pending_max_bytes: int = PENDING_MAX_BYTES,
    ) -> None:
        self._root = root
        self._cap_bytes = cap_bytes
        self._pending_max_bytes = pending_max_bytes
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._pending = _Batch()
        self._writing_bytes = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._files: OrderedDict[str, LogFiles] = OrderedDict()
        # How many lines of a run were lost since its last mark, and one of them.
        self._lost: dict[str, tuple[int, Entry]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._readers = trio.CapacityLimiter(READERS)

    def append(self, run: str, stage: str, attempt: int, lines: Sequence[LogLine]) -> None:
        entries = [Entry(stage, attempt, line) for line in lines]
        if not entries:
            return
        size = sum(len(line.text) + LINE_COST_BYTES for line in lines)
        with self._changed:
            batch = self._pending
            if batch.size_bytes + self._writing_bytes + size > self._pending_max_bytes:
                batch.dropped[run] = entries[-1]
                batch.dropped_counts[run] = batch.dropped_counts.get(run, 0) + len(entries)
            else:
                batch.size_bytes += size
                batch.lines.setdefault(run, []).extend(entries)
            self._wake()

    async def flush(self, run: str) -> None:
        with self._changed:
            # Somebody looks: a loss that could not be told yet is tried again.
            self._pending.lines.setdefault(run, [])
        await self._written()

    async def read(self, run: str, query: LogQuery) -> LogPage:
        folder = self._folder(run)
        return await trio.to_thread.run_sync(read_page, folder, query, limiter=self._readers)

    async def delete(self, run: str) -> None:
        check_name(run, "run")
        with self._changed:
            # What its owner still says of a deleted run must not bring the folder back.
            self._pending.deletions.append(run)
            self._pending.lines.pop(run, None)
            self._pending.dropped.pop(run, None)
        await self._written()

    def close(self) -> None:
        """Write what waits and end the thread. Idempotent; blocks for as long as the disk takes."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # -- inside ----------------------------------------------------------------------------------

    def _folder(self, run: str) -> Path:
        return self._root / check_name(run, "run")

    async def _written(self) -> None:
        """Return when the writer has done all that was asked before."""
        written = trio.Event()
        with self._changed:
            self._pending.waiters.append((trio.lowlevel.current_trio_token(), written))
            self._wake()
        self._hurry.set()
        await written.wait()

    def _wake(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._write, name="flowdapt-logs", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _write(self) -> None:
        """Take what waits, write it, tell those who wait; until closed and nothing is left."""
        while (batch := self._take()) is not None:
            for run in batch.deletions:
                self._remove(run)
            for run in batch.lines.keys() | batch.dropped.keys():
                self._write_run(run, batch)
            with self._changed:
                self._writing_bytes = 0
            for token, written in batch.waiters:
                with suppress(trio.RunFinishedError):
                    token.run_sync_soon(written.set)

    def _take(self) -> _Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._pending.empty)
        self._hurry.wait(GATHER_S)
        self._hurry.clear()
        with self._changed:
            batch, self._pending = self._pending, _Batch()
            self._writing_bytes = batch.size_bytes
            if batch.empty and self._closing:
                return None
        return batch

    def _write_run(self, run: str, batch: _Batch) -> None:
        if run in self._gone:
            return
        entries = batch.lines.get(run, [])
        dropped = batch.dropped_counts.get(run, 0)
        if dropped:
            words = f"{dropped} lines came faster than the disk took them and were not kept"
            entries = [*entries, _mark(batch.dropped[run], words)]
        own, (lost, like) = len(entries), self._lost.pop(run, (0, None))
        if like is not None:
            entries = [_mark(like, f"{lost} lines were lost: the disk was full"), *entries]
        if not entries:
            return
        try:
            files = self._open(run)
            if not files.cut:
                files.append(entries, cap_bytes=self._cap_bytes)
        except (OSError, ValueError, struct.error):
            # No room, or a folder that cannot be had: the stage goes on, its log has a hole.
            self._files.pop(run, None)
            self._lost[run] = (lost + own, like or entries[0])

    def _open(self, run: str) -> LogFiles:
        if (files := self._files.get(run)) is None:
            files = self._files[run] = LogFiles(self._folder(run))
            if len(self._files) > OPEN_RUNS:
                self._files.popitem(last=False)
        self._files.move_to_end(run)
        return files

    def _remove(self, run: str) -> None:
        self._gone[run] = None
        if len(self._gone) > GONE_RUNS:
            self._gone.popitem(last=False)
        self._lost.pop(run, None)
        self._files.pop(run, None)
        # What cannot be deleted now is an orphan that gc finds.
        with suppress(OSError):
            remove_log(self._folder(run))


def _mark(like: Entry, words: str) -> Entry:
    line = LogLine(like.line.time, "log", "warning", words, None, "flowdapt")
    return Entry(like.stage, like.attempt, line)
