"""Decide which worker process gets a task, and how many processes there are.

Workers start on demand, serve one task at a time, end when they are idle, and are never shared by
two tasks: a crash, a hang or a cancel costs its own task's process alone.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, ClassVar

import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Lost
from flowdapt.plugins.ending import Guard, new_mark, sweep_stale
from flowdapt.plugins.executors.local.gpus import GpuShares
from flowdapt.plugins.executors.local.options import LocalOptions
from flowdapt.plugins.executors.local.process import WorkerProcess
from flowdapt.ports.executor import Capabilities, Capacity, Executor, WorkerInfo

if TYPE_CHECKING:
    from flowdapt.domain.task import Outcome, TaskCall, WorkerEnvironment
    from flowdapt.ports.executor import Emit

__all__ = ["LocalExecutor"]

_LOOK_EVERY_S = 0.5


class LocalExecutor(Executor):
    """Runs each task in a warm child process of its own."""

    kind: ClassVar[str] = "local"
    capabilities: ClassVar[Capabilities] = Capabilities(
        kills_on_cancel=True,
        isolates_crashes=True,
        streams_logs=True,
        shares_files=True,
        fresh_process=True,
    )

    def __init__(self, options: LocalOptions, environment: WorkerEnvironment) -> None:
        self._options = options
        self._environment = environment
        self._slots = trio.Semaphore(options.slots)
        self._idle: list[WorkerProcess] = []
        self._all: dict[str, WorkerProcess] = {}
        self._names = itertools.count(1)
        self._nursery: trio.Nursery | None = None
        self._stirred = trio.Event()
        self._gpus = GpuShares(options.gpu_devices or tuple(map(str, range(int(options.gpus)))))
        self._mark = new_mark(environment)
        self._guard: Guard | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(trio.to_thread.run_sync, sweep_stale, self._environment)
                for _ in range(self._options.warm):
                    self._idle.append(self._start())
                task_status.started()
                await self._tend()
        finally:
            self._nursery = None
            with trio.CancelScope(shield=True):
                await self._end_all()

    def capacity(self) -> Capacity:
        options = self._options
        return Capacity(
            slots=options.slots,
            cpus=options.cpus,
            gpus=options.gpus,
            memory_bytes=options.memory_bytes,
            custom=options.custom,
        )

    def workers(self) -> list[WorkerInfo]:
        return [_about(worker) for worker in self._all.values() if not worker.gone.is_set()]

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()
        try:
            share = call.resources.get("gpus", 0.0)
            if share and not call.gpu_devices and self._gpus:
                return await self._execute_on_gpu(call, emit, share)
            return await self._execute(call, emit)
        finally:
            self._slots.release()

    async def _execute_on_gpu(self, call: TaskCall, emit: Emit, share: float) -> Outcome:
        with self._gpus.take(share) as devices:
            return await self._execute(_pinned(call, devices), emit)

    async def _execute(self, call: TaskCall, emit: Emit) -> Outcome:
        while True:
            worker = self._take(call)
            idled = worker.used
            try:
                outcome = await worker.run(call, emit)
            finally:
                self._give_back(worker, call)
            # A worker that died while idle, before it read the call, has cost the task nothing.
            if not (idled and worker.unheard and isinstance(outcome, Lost)):
                return outcome

    # -- workers -------------------------------------------------------------------------------------

    def _take(self, call: TaskCall) -> WorkerProcess:
        """Return a worker for the call: warm for it if possible, fresh where it must be."""
        if self._nursery is None:
            raise ExecutorUnavailable("the local executor is not running")
        worker = None if call.isolate else self._find_idle(call)
        if worker is None:
            self._make_room()
            worker = self._start()
        # A process that has opened a device keeps it, whatever the variable says later.
        worker.gpu_devices = call.gpu_devices
        return worker

    def _find_idle(self, call: TaskCall) -> WorkerProcess | None:
        wanted = (call.run.uid, call.stage)
        fitting: WorkerProcess | None = None
        for worker in reversed(self._idle):
            if not worker.alive or worker.gpu_devices not in (None, call.gpu_devices):
                continue
            fitting = fitting or worker
            if worker.last == wanted:
                fitting = worker
                break
        if fitting is not None:
            self._idle.remove(fitting)
        return fitting

    def _give_back(self, worker: WorkerProcess, call: TaskCall) -> None:
        if call.isolate:
            worker.dismiss()
        elif worker.alive:
            self._idle.append(worker)

    def _make_room(self) -> None:
        """Keep the number of processes within the slots: an idle one that does not fit goes."""
        self._idle = [worker for worker in self._idle if worker.alive]
        if self._idle and len(self._idle) >= self._options.slots:
            self._idle.pop(0).dismiss()

    def _start(self) -> WorkerProcess:
        assert self._nursery is not None
        name = f"{self.kind}-{next(self._names)}"
        worker = WorkerProcess(
            name,
            self._environment,
            mark=f"{self._mark}{name}:",
            variables=self._variables(),
            cwd=self._environment.cwd or None,
        )
        self._all[name] = worker
        self._guard = self._guard or Guard(self._mark)
        self._guard.watch(worker.pid)
        self._nursery.start_soon(self._attend, worker)
        self._stirred.set()
        return worker

    async def _attend(self, worker: WorkerProcess) -> None:
        await worker.attend()
        del self._all[worker.name]
        if self._guard is not None:
            self._guard.forget(worker.pid)

    def _variables(self) -> dict[str, str]:
        hidden = self._options.hidden_variables
        return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}

    # -- time ----------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Look after idle workers and late starts; without workers nothing wakes up."""
        every = min(_LOOK_EVERY_S, max(self._options.idle_timeout_s / 4, 0.01))
        while True:
            if not self._all:
                await self._rest()
            await trio.sleep(every)
            self._look(time.monotonic())

    async def _rest(self) -> None:
        """Wait for the next worker with no process at all."""
        self._stirred = trio.Event()
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.close()
        await self._stirred.wait()

    def _look(self, now: float) -> None:
        limit = now - self._options.idle_timeout_s
        for worker in [w for w in self._idle if w.idle_since < limit or not w.alive]:
            self._idle.remove(worker)
            worker.dismiss()
        for worker in self._all.values():
            if worker.call is not None and 0 < worker.start_deadline < now:
                self._end_late(worker)

    def _end_late(self, worker: WorkerProcess) -> None:
        worker.start_deadline = 0.0
        worker.condemn("start_timeout")
        if self._nursery is not None:
            self._nursery.start_soon(trio.to_thread.run_sync, worker.end)

    async def _end_all(self) -> None:
        """End every process, also those whose tasks still wait for a word."""
        self._idle.clear()
        left = list(self._all.values())
        self._all.clear()
        async with trio.open_nursery() as nursery:
            for worker in left:
                worker.condemn("closing")
                nursery.start_soon(_end, worker)
        if self._guard is not None:
            await self._guard.close()
            self._guard = None


async def _end(worker: WorkerProcess) -> None:
    await trio.to_thread.run_sync(worker.end)
    worker.gone.set()
    worker.close()


def _pinned(call: TaskCall, devices: str) -> TaskCall:
    from msgspec.structs import replace

    return replace(call, gpu_devices=devices)


def _about(worker: WorkerProcess) -> WorkerInfo:
    call = worker.call
    if call is not None:
        state = "starting" if worker.start_deadline else "busy"
    else:
        state = "idle" if worker.alive else "stopped"
    return WorkerInfo(
        name=worker.name,
        state=state,
        pid=worker.pid,
        task_key=call.task_key if call is not None else None,
        rss_bytes=_rss(worker.pid),
    )


def _rss(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123  (one read, no path object)
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return None
