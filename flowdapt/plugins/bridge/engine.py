"""Promise what a cluster's client does inside the bridge's process; how the daemon asks is `executor.py`.

Everything here runs on the one asyncio loop of that process. An engine knows neither runs nor stores,
never retries a task, and never decodes a value: what it moves are bytes and handles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowdapt.domain.task import Outcome, TaskCall, TaskEvent, ValueRef, WorkerEnvironment
from flowdapt.ports.executor import Capacity, Scale, WorkerInfo

if TYPE_CHECKING:
    from flowdapt.domain.finding import Finding

__all__ = ["Engine", "Report", "Say", "State"]

Say = Callable[[Sequence[TaskEvent]], None]


@dataclass(frozen=True, slots=True)
class State:
    """What the daemon shows without asking: told anew whenever it changes, a few times a second at most."""

    capacity: Capacity
    workers: tuple[WorkerInfo, ...]
    scale: Scale


Report = Callable[[State], None]


class Engine(ABC):
    """One connection to one cluster, and the cluster itself when it was started here."""

    @abstractmethod
    def __init__(self, options: Any, environment: WorkerEnvironment, report: Report) -> None:
        """Take the validated options of the profile; connect to nothing yet."""

    @abstractmethod
    async def open(self) -> None:
        """Start or reach the cluster; return when it takes tasks, having reported its state once.

        Raise ExecutorUnavailable when it cannot be had within the options' `connect_timeout`; a hanging
        connect counts. Nothing is left running then.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of all tasks and values, end what `open` started. Bounded: 10 s. Never raises."""

    @abstractmethod
    async def lost(self) -> str:
        """Return, in words, when the cluster is gone for good.

        The process then ends, tasks count as lost, and the daemon opens anew. A gap that the library
        bridges by itself within the options' `reconnect_timeout` is none.
        """

    @abstractmethod
    async def execute(self, call: TaskCall, say: Say) -> Outcome:
        """Run one task and return what became of it; many at once.

        `say` takes what the task says while it runs (within 2 s), all of it before the outcome is
        returned. Live copies of `call.args` that are gone: read the file where there is one, else
        return Lost with `missing`. Cancelled (asyncio): have the body told, after `call.grace_s`
        stopped where the cluster can, its late result dropped; then re-raise. Raise
        ExecutorUnavailable when the cluster is gone and the body has certainly not begun.
        """

    @abstractmethod
    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        """As `Executor.store`."""

    @abstractmethod
    def holds(self, handle: str) -> bool:
        """Say whether the live copy is still kept for us."""

    @abstractmethod
    def forget(self, run: str) -> None:
        """Drop the live copies of a run."""

    @abstractmethod
    async def check(self) -> list[Finding]:
        """Return the rows of the preflight.

        Reachable (ms), workers and what they have, versions of Python, libraries and plugins here and
        there, storage seen from a worker.
        """
