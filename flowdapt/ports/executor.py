"""Promise that tasks run somewhere, each in its own failure domain (`ExecutorContract`).

An executor runs one call at a time per `execute`; it never retries, never reorders results and never
decides what happens after a failure. It knows neither runs nor stores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from flowdapt.domain.task import Outcome, TaskCall, TaskEvent

if TYPE_CHECKING:
    import trio

__all__ = ["Capabilities", "Capacity", "Emit", "Executor", "WorkerInfo"]

Emit = Callable[[TaskEvent], None]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor declares, and `ExecutorContract` then holds it to.

    kills_on_cancel   a cancelled task is dead, its slot free, <= grace + 2 s later.
    isolates_crashes  a body that kills its process harms no other task.
    streams_logs      log lines, progress and metrics arrive while the body runs.
    shares_files      workers see the daemon's file system (values go by file).
    """

    kills_on_cancel: bool = False
    isolates_crashes: bool = False
    streams_logs: bool = False
    shares_files: bool = True
    fresh_process: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many tasks may be given at once. `slots` None: the executor queues by itself.

    `memory_bytes` 0 and a missing custom resource mean: not limited (memory) / none there (custom).
    """

    slots: int | None
    cpus: float
    gpus: float = 0.0
    memory_bytes: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)


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
    """Runs tasks. One instance per executor profile."""

    kind: ClassVar[str]
    capabilities: ClassVar[Capabilities]

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

    async def forget(self, run: str) -> None:
        """Let go of what the executor keeps for a run that has ended. Never raises."""
        return

    async def check(self) -> list[tuple[str, bool, str]]:
        """Return preflight rows (what, ok, words) for the switch; an empty list says nothing to check."""
        return []
