"""Promise that tasks run somewhere, each in its own failure domain (`ExecutorContract`).

An executor runs one call at a time per `execute`; it never retries, never reorders results and never
decides what happens after a failure. It knows neither runs nor stores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from flowdapt.domain.errors import MissingObject
from flowdapt.domain.task import Outcome, TaskCall, TaskEvent, ValueRef

if TYPE_CHECKING:
    import trio
    from pydantic import BaseModel

    from flowdapt.domain.finding import Finding

__all__ = ["Capabilities", "Capacity", "Emit", "Executor", "Scale", "WorkerInfo"]

Emit = Callable[[TaskEvent], None]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor declares, and `ExecutorContract` then holds it to.

    kills_on_cancel   a cancelled task is dead, its slot free, <= grace + 2 s later.
    isolates_crashes  a body that kills its process harms no other task.
    streams_logs      log lines, progress and metrics arrive while the body runs.
    shares_files      workers see the daemon's file system (values go by file).
    fresh_process     `TaskCall.isolate` gives the task a process that nothing ran in before.
    keeps_results     large results stay with the executor under handles (`store`, `holds`).
    """

    kills_on_cancel: bool = False
    isolates_crashes: bool = False
    streams_logs: bool = False
    shares_files: bool = True
    fresh_process: bool = False
    keeps_results: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many tasks may be given at once. `slots` None: the executor queues by itself.

    What an elastic executor can grow to counts as there: tasks that wait are what makes it grow.
    `memory_bytes` 0 and a missing custom resource mean: not limited (memory) / none there (custom).
    """

    slots: int | None
    cpus: float
    gpus: float = 0.0
    memory_bytes: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many workers there are, and between which numbers the executor moves by itself.

    `maximum` None: it does not scale, or somebody else decides.
    """

    workers: int
    minimum: int = 0
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker as `executor workers` shows it. `state` is idle, busy, starting or stopped."""

    name: str
    state: str
    pid: int | None = None
    task_key: str | None = None
    rss_bytes: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Executor(ABC):
    """Runs tasks. One instance per open executor profile.

    A kind that profiles can have (`flowdapt executor add NAME KIND --option k=v`) names the model of
    its options; the class is then called with an instance of it and the workers' environment.
    How long `run` may take until it has started is the option `connect_timeout` (10 s) where an option
    `address` is set, else `start_timeout` (180 s).
    """

    kind: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    options: ClassVar[type[BaseModel] | None] = None

    @abstractmethod
    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled: open own nursery, start workers, call `task_status.started()` when ready.

        Leaving it (also by cancel) leaves no process behind. Raise ExecutorUnavailable when it cannot
        be had.
        """

    @abstractmethod
    def capacity(self) -> Capacity:
        """Return what can run at once now; never blocks."""

    @abstractmethod
    def workers(self) -> list[WorkerInfo]:
        """Return the workers as known now; never blocks."""

    @abstractmethod
    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        """Run one task and return what became of it; user failures and dead workers are values.

        `emit` is called on the daemon's thread, in order, before the outcome is returned; it never
        blocks and never raises; Started comes at most once. When cancelled: stop the body (cooperative
        flag, SIGTERM to its process group, `call.grace_s`, SIGKILL), free the slot, then re-raise.
        Raise ExecutorUnavailable when the executor itself is gone: the task then counts as not begun.
        May be called concurrently up to `capacity().slots`; beyond that it waits for a slot.
        """

    def scale(self) -> Scale:
        """Return the number of workers and its bounds; never blocks."""
        return Scale(len(self.workers()))

    def holds(self, handle: str) -> bool:
        """Say whether a live copy can still be had under this handle; never blocks, may be wrong."""
        return False

    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        """Write a value that only the executor has to the values' root; return it as a `file`.

        `name` is the file's path below that root, without a suffix; the file is flushed to the disk.
        Once stored, a value stays the same whatever becomes of its live copy. Raise MissingObject when
        the executor has it no more, ExecutorUnavailable, OSError.
        """
        raise MissingObject(f"the executor keeps no values, so it has none under {ref.handle!r}")

    async def forget(self, run: str) -> None:
        """Let go of what the executor keeps for a run that has ended. Never raises."""
        return

    async def check(self) -> list[Finding]:
        """Return the rows of the preflight that this executor can tell of itself, once it runs."""
        return []
