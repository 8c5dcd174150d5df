"""Decide how tasks, values and words pass between the bridge and a Dask cluster.

One task is one key that is never used again; its future's value is a short reply, its result is data
under a key of its own. So Dask has nothing to compute a second time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from distributed import Client, Future
from distributed.scheduler import KilledWorker
from distributed.security import Security

from flowdapt.domain.errors import DamagedValue, ExecutorUnavailable, TooLarge
from flowdapt.domain.handles import handles_of, only_held
from flowdapt.domain.task import Lost, ValueRef
from flowdapt.plugins.bridge import endings
from flowdapt.plugins.bridge.engine import Engine, Report, Say
from flowdapt.plugins.bridge.lifting import Lifter
from flowdapt.plugins.bridge.neighbours import Neighbours
from flowdapt.plugins.executors.dask import checks, remote
from flowdapt.plugins.executors.dask.cluster import LocalCluster
from flowdapt.plugins.executors.dask.copies import Copies
from flowdapt.plugins.executors.dask.node import pass_values
from flowdapt.plugins.executors.dask.reach import reached
from flowdapt.plugins.executors.dask.running import RunningTask, WorkerGone
from flowdapt.plugins.executors.dask.shares import Labels
from flowdapt.plugins.executors.dask.state import state_of
from flowdapt.runtime.bundle import Packer
from flowdapt.runtime.frames import read_message
from flowdapt.runtime.host_memory import scope_of
from flowdapt.runtime.lending import machine_with
from flowdapt.runtime.verdicts import lost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowdapt.domain.finding import Finding
    from flowdapt.domain.task import Outcome, TaskCall, WorkerEnvironment
    from flowdapt.plugins.executors.dask.options import DaskOptions

__all__ = ["DaskEngine"]

_BEGUN_S = 0.3
_STOP_S = 1.5
_STATE_EVERY_S = 1.0
_WATCH_EVERY_S = 0.2
_WORDS_MAX = 1000
_CLOSE_S = 3.0

_encode = msgspec.msgpack.Encoder().encode
_read_reply = msgspec.msgpack.Decoder(remote.Reply).decode


class DaskEngine(Engine):
    """One client of one cluster, and the cluster itself when no address is given."""

    def __init__(
        self, options: DaskOptions, environment: WorkerEnvironment, report: Report
    ) -> None:
        self._options = options
        self._environment = environment
        self._report = report
        self._cluster = None if options.address else self._start_here(options)
        self._tasks: dict[str, RunningTask] = {}
        self._workers: Mapping[str, Any] = {}
        self._labels = Labels({}, _promised(options) if self._cluster else {})
        self._loops: list[asyncio.Task[None]] = []
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._shares_files = self._shares_memory = True
        self._neighbours: Neighbours | None = None
        self._lifter: Lifter[Future[Any]] | None = None

    def _start_here(self, options: DaskOptions) -> LocalCluster:
        return LocalCluster(options, self._wanted, self._lost_begun)

    # -- life ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        logging.getLogger("distributed").setLevel(logging.WARNING)
        try:
            address = self._options.url
            if self._cluster is not None:
                address = await self._cluster.open()
            await reached(self._connect(address), address, self._options.connect_timeout)
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError | TimeoutError):
                raise self._unreachable(error) from error
            raise

    def _unreachable(self, error: BaseException) -> ExecutorUnavailable:
        within = f" within {self._options.connect_timeout:g} s"
        if isinstance(error, ConnectionRefusedError):
            within = ""
        return ExecutorUnavailable(
            f"no Dask scheduler answers at {self._options.url or 'this machine'}{within}:"
            f" {str(error) or 'it is silent'}",
            fix="start it, or correct the profile's address, certificates or connect_timeout",
        )

    async def _connect(self, address: str) -> None:
        self._client = await Client(
            address,
            security=self._security(),
            asynchronous=True,
            set_as_default=False,
            timeout=self._options.connect_timeout,
            name="flowdapt",
        )
        self._copies = Copies(self._client)
        self._queue = f"flowdapt-{self._client.id}"
        await self._client.scheduler.queue_create(name=self._queue, maxsize=_WORDS_MAX)
        await self._client.register_plugin(remote.Attend())
        await self._look()
        self._shares_files = await checks.sees_files(
            self._client, self._environment.values_root, self._options, bool(self._cluster)
        )
        self._shares_memory = self._shares_files and await checks.sees_files(
            self._client, self._environment.memory_root, self._options, bool(self._cluster)
        )
        self._there = msgspec.structs.replace(
            self._environment,
            artifacts_url=self._options.artifacts_url(
                self._environment.artifacts_url, shares_files=self._shares_files
            ),
        )
        if self._shares_files and self._cluster is None:
            self._neighbours = Neighbours(self._machines, self._pass_values)
            self._neighbours.see(self._workers)
            await self._neighbours.settle()
        if not self._shares_files:
            where = self._environment
            packer = Packer(
                where.user_modules, where.python_path, apart=(where.values_root, where.memory_root)
            )
            self._lifter = Lifter(
                where.values_root,
                packer,
                self.holds,
                self._copies.put,
                lambda copy: copy.status != "finished",
            )
        self._loops = [
            asyncio.ensure_future(loop)
            for loop in (self._hear_words(), self._keep_looking(), self._watch_connection())
        ]

    def _security(self) -> Any:
        if self._cluster is not None:
            return self._cluster.security
        options = self._options
        if not options.is_encrypted():
            return None
        return Security(
            require_encryption=True,
            tls_ca_file=options.tls_ca,
            tls_client_cert=options.tls_cert,
            tls_client_key=options.tls_key,
        )

    async def close(self) -> None:
        for loop in self._loops:
            loop.cancel()
        if self._neighbours is not None:
            self._neighbours.close()
        client = getattr(self, "_client", None)
        if client is not None:
            self._copies.clear()
            with suppress(Exception):
                self._release_queue(self._queue)
                await asyncio.wait_for(client.close(timeout=_CLOSE_S), _CLOSE_S)
        if self._cluster is not None:
            await self._cluster.close()

    async def lost(self) -> str:
        return await asyncio.shield(self._lost)

    def _wanted(self) -> int:
        return len(self._tasks)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_STATE_EVERY_S)
            try:
                await asyncio.wait_for(self._look(), self._options.reconnect_timeout)
            except Exception as error:
                self._lose(
                    f"the Dask scheduler does not answer: {str(error) or type(error).__name__}"
                )
                return

    async def _watch_connection(self) -> None:
        """Tell a broken connection at once: Dask drops what a client wants that it does not see."""
        while self._is_connected():  # noqa: ASYNC110  (Dask tells nobody)
            await asyncio.sleep(_WATCH_EVERY_S)
        self._lose("the connection to the Dask scheduler broke")

    def _is_connected(self) -> bool:
        return bool(self._client.status == "running")

    def _lose(self, words: str) -> None:
        if not self._lost.done():
            self._lost.set_result(words)

    async def _look(self) -> None:
        identity = await self._client.scheduler.identity(n_workers=-1)
        self._workers = identity["workers"]
        self._labels = Labels(self._workers, self._labels.most)
        if self._neighbours is not None:
            self._neighbours.see(self._workers)
        running = {task.place: task.task_key for task in self._tasks.values() if task.place}
        self._report(state_of(self._workers, running, self._options, self._cluster))

    async def _machines(self, workers: list[str], path: str, inode: int) -> Mapping[str, str]:
        answers = await self._client.run(
            machine_with, path, inode, workers=workers, on_error="return"
        )
        return {worker: told for worker, told in answers.items() if isinstance(told, str)}

    async def _pass_values(self, by_name: bool) -> None:
        await self._client.run(pass_values, by_name=by_name, on_error="return")

    # -- tasks ---------------------------------------------------------------------------------------

    async def execute(self, call: TaskCall, say: Say) -> Outcome:
        if not self._is_connected():
            raise ExecutorUnavailable("the connection to the Dask scheduler broke")
        resources, lacking = self._labels.asked(call.resources)
        if lacking:
            return endings.unfit(call, lacking, "no worker of this Dask cluster")
        sha256, code = "", None
        if self._lifter is not None:
            try:
                call = await self._lifter.lift(call)
                sha256, code = await self._lifter.code(call.run.uid)
            except (TooLarge, DamagedValue) as error:
                return endings.refused(call, error)
        held, missing = self._inputs(call)
        if missing:
            return endings.missing(call, missing)
        start = f".{call.map.start}" if call.map else ""
        handle = (
            f"flowdapt/{call.run.uid}/{call.stage}{start}/{call.attempt}.{call.epoch}"
            f"/{secrets.token_hex(4)}"
        )
        errand = remote.Errand(
            call=call,
            environment=self._there,
            key=f"{handle}{remote.TASK}",
            handle=handle,
            client=str(self._client.id),
            queue=self._queue,
            shares_files=self._shares_files,
            memory="" if self._shares_memory else scope_of(self._there),
            sha256=sha256,
        )
        task = self._tasks[errand.key] = RunningTask(call.task_key, say)
        making = self._make_place(errand.key)
        future = self._client.submit(
            remote.run_task,
            _encode(errand),
            list(held),
            list(held.values()),
            code,
            key=errand.key,
            pure=False,
            retries=0,
            resources=resources or None,
            priority=call.priority,
        )
        try:
            return await self._outcome(future, task, errand, held)
        except asyncio.CancelledError:
            await self._stop(future, task, call)
            raise
        finally:
            del self._tasks[errand.key]
            future.release()
            if making is not None:
                making.cancel()
                self._release_queue(errand.key)
            elif self._cluster is not None:
                self._cluster.drop_place(errand.key)

    def _make_place(self, key: str) -> asyncio.Task[Any] | None:
        """Make the queue whose one place is taken by whoever begins the attempt."""
        if self._cluster is not None:
            self._cluster.make_place(key)
            return None
        scheduler = self._client.scheduler
        making: asyncio.Task[Any] = asyncio.ensure_future(
            scheduler.queue_create(name=key, maxsize=1)
        )
        return making

    def _lost_begun(self, key: str, worker: str) -> None:
        """Hear that a task's worker went while its body ran."""
        if task := self._tasks.get(key):
            task.lose(self._tell_gone(worker))

    async def _tell_gone(self, worker: str) -> str:
        how = await self._cluster.why_gone(worker) if self._cluster is not None else ""
        words = f"the Dask worker {worker or 'that had the task'} went away under it"
        return f"{words}: {how}" if how else words

    def _release_queue(self, name: str) -> None:
        with suppress(Exception):
            self._client._send_to_scheduler(  # noqa: SLF001  (what Dask's own Queue does)
                {"op": "queue_release", "name": name}
            )

    def _inputs(self, call: TaskCall) -> tuple[dict[str, Future[Any]], list[str]]:
        """Return the live copies that the call needs, and the handles that nothing stands for."""
        refs = (*call.args, call.run.input)
        handles = {handle for ref in refs for handle in handles_of(ref)}
        found = self._lifter.copies(handles) if self._lifter is not None else {}
        found |= self._copies.find(handles)
        needed = {handle for ref in refs for handle in only_held(ref)}
        return found, sorted(needed - found.keys())

    async def _outcome(
        self,
        future: Future[Any],
        task: RunningTask,
        errand: remote.Errand,
        held: Mapping[str, Future[Any]],
    ) -> Outcome:
        call = errand.call
        try:
            reply = _read_reply(await task.first_of(future))
        except WorkerGone as gone:
            with suppress(Exception):
                await self._client.cancel([future], asynchronous=True)
            return Lost("killed", lost(call, str(gone)))
        except KilledWorker as error:
            return Lost("killed", lost(call, await self._tell_gone(str(error.last_worker.name))))
        except remote.BeganBefore:
            words = f"{await self._tell_gone('')}; Dask would have begun the task again"
            return Lost("killed", lost(call, words))
        except ExecutorUnavailable:
            raise
        except ImportError as error:
            raise ExecutorUnavailable(
                f"the workers cannot run tasks of flowdapt: {error}",
                fix="install the same flowdapt in the environment of the workers",
            ) from error
        except Exception as error:
            return await self._broken(call, held, error)
        *events, outcome = read_message(reply.message)
        await task.heard(reply.words)
        task.tell(events)
        if reply.kept:
            self._copies.keep(errand.handle, call.run.uid)
        return outcome  # type: ignore[return-value]  # the last word of a message is the outcome

    async def _broken(
        self, call: TaskCall, held: Mapping[str, Future[Any]], error: Exception
    ) -> Outcome:
        """Tell a task that Dask gave up: most often an input went while the task waited."""
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            if gone := [handle for handle, copy in held.items() if copy.status != "finished"]:
                return endings.missing(call, sorted(gone))
            await asyncio.sleep(0.02)
        return Lost("bridge", lost(call, f"Dask gave the task up: {type(error).__name__}: {error}"))

    async def _stop(self, future: Future[Any], task: RunningTask, call: TaskCall) -> None:
        """Have Dask drop the task; when its body runs, wait until it is no more."""
        if not self._is_connected():
            return
        with suppress(Exception):
            await self._client.cancel([future], asynchronous=True)
        if await task.begins(_BEGUN_S):
            with suppress(TimeoutError):
                await asyncio.wait_for(task.ended.wait(), call.grace_s + _STOP_S)

    async def _hear_words(self) -> None:
        scheduler = self._client.scheduler
        while True:
            first = await scheduler.queue_get(name=self._queue, timeout=None)
            rest = await scheduler.queue_get(name=self._queue, batch=True)
            for record in (first, *rest):
                key, address, number, body = record["value"]
                if task := self._tasks.get(key):
                    task.hear(address, number, body)

    # -- values --------------------------------------------------------------------------------------

    def holds(self, handle: str) -> bool:
        return self._copies.holds(handle)

    def forget(self, run: str) -> None:
        self._copies.forget(run)
        if self._lifter is not None:
            self._lifter.forget(run)

    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        root = self._environment.values_root
        return await self._copies.store(ref, root, name, by_worker=self._shares_files)

    async def check(self) -> list[Finding]:
        return await checks.rows(
            self._client, self._options, self._environment, shares_files=self._shares_files
        )


def _promised(options: DaskOptions) -> dict[str, float]:
    """Return what workers of a cluster started here have, also those that are to come."""
    return {**options.resources, **({"GPU": 1.0} if options.gpus else {})}
