"""Fakes that keep the ports' promises in memory, for tests on a virtual clock and for embedded runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

import msgspec
import trio

from flowdapt.domain.errors import ExecutorUnavailable, InvalidInput, NotFound
from flowdapt.domain.task import Finished, LogLine, Outcome, Started, TaskCall, ValueRef
from flowdapt.ports.executor import Capabilities, Capacity, Emit, Executor, Scale, WorkerInfo
from flowdapt.ports.logs import LogPage, LogQuery, LogStore, StoredLine
from flowdapt.ports.values import ValueStore
from flowdapt.runtime.smoke import SMOKE_TARGET, answer

if TYPE_CHECKING:
    from flowdapt.domain.finding import Finding

__all__ = [
    "FakeClock",
    "FakeExecutor",
    "MemoryLogs",
    "MemoryValues",
    "json_value",
]


def json_value(value: object) -> ValueRef:
    """Return the inline reference of a JSON value."""
    data = msgspec.json.encode(value)
    length = len(value) if isinstance(value, list) else None
    return ValueRef("inline", "json", data, size_bytes=len(data), length=length)


class FakeClock:
    """A clock that follows trio's: under `autojump_clock` it moves only when everybody waits."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._zero: float | None = None
        self.jump_s = 0.0

    def now(self) -> datetime:
        """Return the start plus the time that passed on trio's clock, plus `jump_s`."""
        return self._start + timedelta(seconds=self.monotonic() + self.jump_s)

    def monotonic(self) -> float:
        """Return seconds since the first look at this clock."""
        if self._zero is None:
            self._zero = trio.current_time()
        return trio.current_time() - self._zero

    async def sleep(self, seconds: float) -> None:
        """Wait on trio's clock."""
        await trio.sleep(seconds)


Body = Callable[[TaskCall, Emit], Awaitable[Outcome]]


class FakeExecutor(Executor):
    """Runs bodies written by the test, by target; without one a task finishes at once with null.

    `opening` runs before it is ready and may hang or raise; `break_down` ends a running one. While
    `refusal` is set, tasks are refused with it. The smoke task of a check is answered as it should be.
    """

    kind: ClassVar[str] = "fake"
    capabilities: ClassVar[Capabilities] = Capabilities(kills_on_cancel=True, streams_logs=True)

    def __init__(
        self,
        bodies: dict[str, Body] | None = None,
        *,
        slots: int = 2,
        capacity: Capacity | None = None,
    ) -> None:
        self.bodies = bodies or {}
        self.calls: list[TaskCall] = []
        self.cancelled: list[str] = []
        self.running = 0
        self.most_running = 0
        self.opening: Callable[[], Awaitable[None]] | None = None
        self.refusal: str | None = None
        self.size: Scale | None = None
        self.findings: list[Finding] = []
        self.capacity_now = capacity or Capacity(slots=slots, cpus=float(slots))
        self.open = False
        self._broken: str | None = None
        self.broken = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled or broken."""
        if self.opening is not None:
            await self.opening()
        self.open = True
        try:
            task_status.started()
            await self.broken.wait()
        finally:
            self.open = False
        raise ExecutorUnavailable(self._broken or "it broke")

    def break_down(self, words: str) -> None:
        """Let `run` raise, as when a cluster is gone for good."""
        self._broken = words
        self.broken.set()

    def capacity(self) -> Capacity:
        """Return what the test gave."""
        return self.capacity_now

    def scale(self) -> Scale:
        """Return what the test gave."""
        return self.size if self.size is not None else super().scale()

    async def check(self) -> list[Finding]:
        """Return what the test gave."""
        await trio.lowlevel.checkpoint()
        return list(self.findings)

    def workers(self) -> list[WorkerInfo]:
        """Return no workers: bodies run in the test's own process."""
        return []

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        """Run the body of the call's target."""
        refusal = self._broken or self.refusal
        if refusal is not None:
            await trio.lowlevel.checkpoint()
            raise ExecutorUnavailable(refusal)
        self.calls.append(call)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            emit(Started())
            body = self.bodies.get(call.target)
            if body is not None:
                return await body(call, emit)
            return _answered(call) if call.target == SMOKE_TARGET else _null(call)
        except trio.Cancelled:
            self.cancelled.append(call.task_key)
            raise
        finally:
            self.running -= 1


def _answered(call: TaskCall) -> Finished:
    given = msgspec.json.decode(call.run.input.data, type=dict[str, int])
    return Finished(json_value(answer(**given)), 0.001)


def _null(call: TaskCall) -> Finished:
    if call.map is None:
        return Finished(json_value(None))
    size = call.map.stop - call.map.start
    return Finished(json_value([None] * size), 0.001, call.map.stop)


class MemoryValues(ValueStore):
    """Values that need no files: everything is inline, or was spilled into a dictionary."""

    def __init__(self) -> None:
        self._spilled: dict[str, ValueRef] = {}

    async def spill(self, run: str, name: str, value: ValueRef) -> ValueRef:
        """Keep the value under its name; the reference then looks like a file's."""
        location = f"{run}/{name}"
        self._spilled[location] = value
        return msgspec.structs.replace(value, kind="file", data=b"", parts=(), location=location)

    async def json_text(self, value: ValueRef, *, limit_bytes: int) -> bytes | None:
        """Return the text when it is JSON and short enough."""
        text = self._text(value)
        return text if text is not None and len(text) <= limit_bytes else None

    def _text(self, value: ValueRef) -> bytes | None:
        if value.kind == "file":
            if value.location not in self._spilled:
                raise NotFound(f"the value {value.location} is gone")
            return self._text(self._spilled[value.location])
        if value.kind == "parts":
            return self._joined(value)
        return value.data if value.codec == "json" else None

    def _joined(self, value: ValueRef) -> bytes | None:
        items: list[msgspec.Raw] = [msgspec.Raw(b"null")] * (value.length or 0)
        for part in value.parts:
            text = self._text(part.value)
            if text is None:
                return None
            items[part.start : part.stop] = msgspec.json.decode(text, type=list[msgspec.Raw])
        return msgspec.json.encode(items)

    async def iter_json(self, value: ValueRef) -> AsyncIterator[bytes]:
        """Yield the whole text at once."""
        text = self._text(value)
        if text is None:
            raise InvalidInput(
                "the result is not JSON",
                code="run.result_not_json",
                fix="runs show  tells what it is; keep it as an artifact to get it out",
            )
        yield text

    async def adopt(self, run: str, values: Sequence[ValueRef]) -> list[ValueRef]:
        """Return the values as they are: nothing is deleted here."""
        return list(values)

    async def missing(self, values: Sequence[ValueRef]) -> list[ValueRef]:
        """Return spilled values that were never written."""
        return [v for v in values if v.kind == "file" and v.location not in self._spilled]

    async def damage(self, values: Sequence[ValueRef]) -> list[str]:
        """Name spilled values that were never written."""
        return [f"{value.location} is gone" for value in await self.missing(values)]

    async def delete_run(self, run: str) -> None:
        """Forget what the run spilled."""
        for location in [known for known in self._spilled if known.startswith(f"{run}/")]:
            del self._spilled[location]

    async def orphans(self, known: Sequence[str], *, older_than_s: float) -> list[str]:
        """Return nothing: there are no directories."""
        return []


class MemoryLogs(LogStore):
    """Log lines in lists, with the filters that tests need."""

    def __init__(self) -> None:
        self.lines: dict[str, list[StoredLine]] = {}

    def append(self, run: str, stage: str, attempt: int, lines: Sequence[LogLine]) -> None:
        """Number and keep the lines."""
        kept = self.lines.setdefault(run, [])
        for line in lines:
            kept.append(StoredLine(len(kept) + 1, stage, attempt, line))

    async def flush(self, run: str) -> None:
        """Return at once."""

    async def read(self, run: str, query: LogQuery) -> LogPage:
        """Filter by stage, position and text."""
        found = [
            line
            for line in self.lines.get(run, [])
            if line.number > query.after
            and (query.stage is None or line.stage == query.stage)
            and (query.grep is None or query.grep in line.line.text)
        ]
        page = found[-query.limit :] if query.tail else found[: query.limit]
        return LogPage(page, page[-1].number if page else query.after)

    async def delete(self, run: str) -> None:
        """Forget the run."""
        self.lines.pop(run, None)
