"""Decide how a Dask cluster on this machine is made, and how many workers it has at any time.

The scheduler lives in the bridge; each worker is a process with one thread. All of it listens on
loopback only, speaks TLS with certificates made for this one time, and ends with the bridge.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dask
import msgspec
from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.security import Security

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.plugins.executors.dask.node import CONFIG, LOOPBACK, NodeSpec
from flowdapt.runtime.descendants import MARK, sweep
from flowdapt.runtime.own_folder import OwnFolder
from flowdapt.runtime.verdicts import tell_exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowdapt.plugins.executors.dask.options import DaskOptions

__all__ = ["LocalCluster"]

_TICK_S = 0.25
_END_S = 3.0
_FAILURES = 10**6
_EXIT_S = 1.0
# A worker that ends at once is not started again and again.
_RESTART_MIN_S = 2.0
_MODULE = "flowdapt.plugins.executors.dask.node"


class LocalCluster:
    """A scheduler here and workers in processes. `wanted` says how many tasks wait or run."""

    def __init__(
        self,
        options: DaskOptions,
        wanted: Callable[[], int],
        lost_begun: Callable[[str, str], None],
    ) -> None:
        self._options = options
        self._wanted = wanted
        self._lost_begun = lost_begun
        self._exits: dict[str, str] = {}
        self._scheduler: Scheduler | None = None
        self._nodes: dict[int, _Node] = {}
        self._needed_at = time.monotonic()
        self._folder: OwnFolder | None = None
        self._scaling: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[int] | None = None
        self.security = Security.temporary()
        self.minimum = max(options.minimum, 1)
        self.maximum = options.maximum or max(_cpus(), self.minimum)

    async def open(self) -> str:
        """Start it with its minimum of workers; return its address."""
        self._folder = OwnFolder("flowdapt-dask-")
        dask.config.set({**CONFIG, "temporary-directory": str(self._folder.path)})
        self._scheduler = Scheduler(
            host=LOOPBACK,
            protocol="tls://",
            port=0,
            dashboard=False,
            dashboard_address=f"{LOOPBACK}:0",
            security=self.security,
            # Tasks that only waited for a dead worker go to another one; those that had begun are told.
            allowed_failures=_FAILURES,
        )
        self._scheduler.add_plugin(_OnceOnly(self._scheduler, self._lost_begun))
        await self._scheduler
        for number in range(self.minimum):
            await self._start(number)
        await self._first_worker()
        self._scaling = asyncio.ensure_future(self._scale())
        return str(self._scheduler.address)

    async def _first_worker(self) -> None:
        assert self._scheduler is not None
        deadline = time.monotonic() + self._options.start_timeout
        while not self._scheduler.workers:
            ended = [node for node in self._nodes.values() if node.process.returncode is not None]
            if ended:
                raise ExecutorUnavailable(f"a Dask worker cannot be started: {ended[0].exit()}")
            if time.monotonic() > deadline:
                raise ExecutorUnavailable(
                    f"no Dask worker came within {self._options.start_timeout:g} s",
                    fix="raise start_timeout, or look for what slows this machine down",
                )
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End everything that was started. Never raises."""
        if self._scaling is not None:
            self._scaling.cancel()
        if self._scheduler is not None:
            with suppress(Exception):
                await asyncio.wait_for(self._scheduler.close(), _END_S)
        await asyncio.gather(*(node.end() for node in self._nodes.values()))
        if self._folder is not None:
            self._folder.remove()

    async def why_gone(self, name: str) -> str:
        """Return how the last worker of a name ended, if it did; its process may end a moment later."""
        for node in list(self._nodes.values()):
            if node.name == name and name not in self._exits:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(node.watching), _EXIT_S)
                return node.exit()
        return self._exits.get(name, "")

    def make_place(self, key: str) -> None:
        """Make the queue whose one place is taken by whoever begins the attempt."""
        self._queues.create(name=key, maxsize=1)

    def drop_place(self, key: str) -> None:
        """Forget an attempt that is over: nothing of it can begin any more."""
        self._queues.release(name=key)

    @property
    def _queues(self) -> Any:
        assert self._scheduler is not None
        return self._scheduler.extensions["queues"]

    # -- scaling -------------------------------------------------------------------------------------

    async def _scale(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._drop_ended()
            wanted = min(max(self._wanted(), self.minimum), self.maximum)
            now = time.monotonic()
            if wanted >= len(self._nodes):
                self._needed_at = now
            for number in range(self.maximum):
                if len(self._nodes) < wanted and number not in self._nodes:
                    await self._start(number)
            if now - self._needed_at >= self._options.idle_timeout:
                await self._shrink(wanted)

    def _drop_ended(self) -> None:
        for number, node in list(self._nodes.items()):
            code = node.process.returncode
            if code is not None and time.monotonic() - node.started_at >= _RESTART_MIN_S:
                del self._nodes[number]
                self._exits[node.name] = node.exit()
                # What its bodies had started lives on when nobody told them.
                marks = f"{os.environ.get(MARK, '')}{node.process.pid}."
                self._sweeping = asyncio.ensure_future(asyncio.to_thread(sweep, mark=marks))

    async def _shrink(self, wanted: int) -> None:
        """Let idle workers go, the last ones first; what they keep moves to the others before."""
        assert self._scheduler is not None
        names = {node.name: number for number, node in self._nodes.items()}
        idle = {
            names[worker.name]: worker.address
            for worker in self._scheduler.workers.values()
            if worker.name in names and not worker.processing
        }
        going = sorted(idle, reverse=True)[: max(len(self._nodes) - wanted, 0)]
        # From here to its end nothing else runs on this loop, so none of them gets a task meanwhile.
        with suppress(Exception):
            await self._scheduler.retire_workers(
                workers=[idle[number] for number in going],
                close_workers=True,
                remove=True,
                stimulus_id="flowdapt-scale",
            )
        for number in going:
            await self._nodes.pop(number).end()
        self._needed_at = time.monotonic()

    async def _start(self, number: int) -> None:
        assert self._scheduler is not None
        assert self._folder is not None
        options = self._options
        resources = dict(options.resources)
        variables: dict[str, str] = {}
        if number < options.gpus:
            resources["GPU"] = 1.0
            variables["CUDA_VISIBLE_DEVICES"] = str(number)
        spec = NodeSpec(
            scheduler=str(self._scheduler.address),
            name=f"flowdapt-{number + 1}",
            security={
                name: getattr(self.security, name)
                for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key")
            },
            resources=resources,
            memory_bytes=_memory_bytes() // self.maximum,
            folder=str(self._folder.path),
        )
        self._nodes[number] = await _Node.start(spec, variables)


class _OnceOnly(SchedulerPlugin):
    """Tell of tasks that had begun on a worker that went, and make what a task replied mere data.

    So when it is lost it is lost, and not computed again.
    """

    name = "flowdapt-once"

    def __init__(self, scheduler: Scheduler, lost_begun: Callable[[str, str], None]) -> None:
        self._scheduler = scheduler
        self._lost_begun = lost_begun
        self._on: dict[Any, str] = {}

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        task = self._scheduler.tasks.get(key)
        if finish == "processing":
            if task is not None and task.processing_on is not None:
                self._on[key] = str(task.processing_on.name)
            return
        if finish == "memory" and task is not None:
            task.run_spec = None
        worker = self._on.pop(key, "")
        if start == "processing" and finish == "released" and self._has_begun(key):
            self._lost_begun(key, worker)

    def _has_begun(self, key: Any) -> bool:
        queues: Any = self._scheduler.extensions["queues"]
        return key in queues.queues and queues.queues[key].full()


class _Node:
    """The process of one worker."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.started_at = time.monotonic()
        self.watching = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(cls, spec: NodeSpec, variables: dict[str, str]) -> _Node:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *["-P", "-m", _MODULE, str(os.getpid())],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, **variables},
            start_new_session=True,
        )
        node = cls(spec.name, process)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(spec))
        process.stdin.close()
        return node

    def exit(self) -> str:
        code = self.process.returncode
        return "" if code is None else tell_exit(code)[1]

    async def end(self) -> None:
        """Have it end in order, and end it when it does not."""
        try:
            await asyncio.wait_for(self.process.wait(), _END_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
