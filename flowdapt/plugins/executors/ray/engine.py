"""Decide how tasks, values and words pass between the bridge and a Ray cluster.

One task is one remote call that Ray never repeats. It returns two objects: a short reply, and the
value, which stays in the object store for as long as its reference is kept here.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import ray
from ray import exceptions as errors

from flowdapt.domain.errors import DamagedValue, ExecutorUnavailable, MissingObject, TooLarge
from flowdapt.domain.handles import handles_of, only_held
from flowdapt.domain.task import ValueRef
from flowdapt.plugins.bridge import endings
from flowdapt.plugins.bridge.engine import Engine, Report, Say
from flowdapt.plugins.bridge.hearing import Hearing
from flowdapt.plugins.bridge.lifting import Lifter
from flowdapt.plugins.bridge.neighbours import Neighbours
from flowdapt.plugins.executors.ray import checks, losses, remote
from flowdapt.plugins.executors.ray.copies import Copies, Copy
from flowdapt.plugins.executors.ray.session import Session, in_thread
from flowdapt.plugins.executors.ray.shares import Labels, living, state_of
from flowdapt.plugins.executors.ray.words import Listener
from flowdapt.runtime.bundle import Packer
from flowdapt.runtime.frames import read_message

if TYPE_CHECKING:
    from flowdapt.domain.finding import Finding
    from flowdapt.domain.task import Outcome, TaskCall, WorkerEnvironment
    from flowdapt.plugins.executors.ray.options import RayOptions
    from flowdapt.plugins.executors.ray.shares import Node
    from flowdapt.runtime.pickled import Pickled

__all__ = ["RayEngine"]

_STOP_S = 1.2
_STATE_EVERY_S = 1.0

_encode = msgspec.msgpack.Encoder().encode
_read_reply = msgspec.msgpack.Decoder(remote.Reply).decode
_read_value = msgspec.msgpack.Decoder(ValueRef).decode


class RayEngine(Engine):
    """One driver of one cluster, and the cluster itself when no address is given."""

    def __init__(self, options: RayOptions, environment: WorkerEnvironment, report: Report) -> None:
        self._options = options
        self._environment = environment
        self._report = report
        self._session = Session(options, self._lose)
        self._numbers = itertools.count(1)
        self._word = secrets.token_hex(4)
        self._running: dict[str, Hearing] = {}
        self._copies = Copies(options.object_store, by_name=self._session.is_ours)
        self._neighbours: Neighbours | None = None
        self._nodes: dict[str, Node] = {}
        self._labels = Labels()
        self._home = ""
        self._doubted = asyncio.Event()
        self._loops: list[asyncio.Future[None]] = []
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._there = environment
        self._shares_files = self._shares_memory = True
        self._lifter: Lifter[Any] | None = None

    # -- life ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        try:
            await self._session.open()
            await self._prepare()
        except BaseException:
            await self.close()
            raise

    async def _prepare(self) -> None:
        if not self._options.by_client:
            self._home = ray.get_runtime_context().get_node_id()
        self._function = ray.remote(remote.run_task)
        self._listener = Listener(self._running, self._lose)
        await self._look()
        await self._find_files()
        await self._find_machines()
        loops = (self._listener.listen(), self._keep_looking())
        self._loops = [asyncio.ensure_future(loop) for loop in loops]

    async def _find_files(self) -> None:
        here, options, nodes = self._environment, self._options, self._nodes
        self._shares_files = await checks.sees_files(here.values_root, options, nodes)
        self._shares_memory = self._shares_files and await checks.sees_files(
            here.memory_root, options, nodes
        )
        url = options.artifacts_url(here.artifacts_url, shares_files=self._shares_files)
        self._there = msgspec.structs.replace(here, artifacts_url=url)
        if not self._shares_files:
            apart = (here.values_root, here.memory_root)
            packer = Packer(here.user_modules, here.python_path, apart=apart)
            self._lifter = Lifter(here.values_root, packer, self.holds, _put)

    async def _find_machines(self) -> None:
        # Of a client server we do not know where it puts what it is given.
        if self._shares_files and not (self._session.is_ours or self._options.by_client):
            self._neighbours = Neighbours(checks.machines, self._pass_values)
            self._neighbours.see(self._nodes)
            await self._neighbours.settle()

    async def close(self) -> None:
        for loop in self._loops:
            loop.cancel()
        if self._neighbours is not None:
            self._neighbours.close()
        self._copies.clear()
        await self._session.close(gone=self._lost.done())

    async def lost(self) -> str:
        return await asyncio.shield(self._lost)

    def _lose(self, words: str) -> None:
        if not self._lost.done():
            self._lost.set_result(words)

    async def _keep_looking(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._doubted.wait(), _STATE_EVERY_S)
            self._doubted.clear()
            try:
                await asyncio.wait_for(self._look(), self._options.reconnect_timeout)
            except Exception as error:
                words = str(error) or type(error).__name__
                self._lose(f"the head of the Ray cluster does not answer: {words}")
                return
            if self._home and self._home not in self._nodes:
                self._lose("the node by which we joined the Ray cluster is gone")
                return

    async def _look(self) -> None:
        nodes = living(await in_thread(ray.nodes))
        self._nodes = {str(node["NodeID"]): node for node in nodes}
        self._labels = Labels(nodes, self._options.grows_to)
        if self._neighbours is not None:
            self._neighbours.see(self._nodes)
            await self._pass_values(self._neighbours.are_here)
        running = {told.place: told.task_key for told in self._running.values() if told.place}
        self._report(state_of(nodes, self._labels, running))

    async def _pass_values(self, by_name: bool) -> None:
        self._copies.by_name = by_name

    # -- tasks ---------------------------------------------------------------------------------------

    async def execute(self, call: TaskCall, say: Say) -> Outcome:
        asked, lacking = self._labels.asked(call.resources)
        if lacking:
            return endings.unfit(call, lacking, "no node of this Ray cluster")
        sha256, code = "", None
        if self._lifter is not None:
            try:
                call = await self._lifter.lift(call)
                sha256, code = await self._lifter.code(call.run.uid)
            except (TooLarge, DamagedValue) as error:
                return endings.refused(call, error)
        held, lent, missing = await self._inputs(call)
        if missing:
            return endings.missing(call, missing)
        errand = remote.Errand(
            call,
            self._there,
            self._handle(call),
            self._listener.name,
            shares_files=self._shares_files,
            memory=not self._shares_memory,
            lends=self._copies.has_room(),
            lent=lent,
            sha256=sha256,
        )
        told = self._running[errand.handle] = Hearing(call.task_key, say)
        name = f"{call.run.workflow}.{call.stage}"
        function = self._function.options(num_returns=2, max_retries=0, name=name, **asked)
        reply, value = function.remote(_encode(errand), list(held), code, *held.values())
        # Whoever cancels waits for the end as well, so the waiting itself is never cancelled.
        ended = asyncio.ensure_future(_wait_for(reply))
        try:
            return await self._outcome(errand, told, asyncio.shield(ended), value, held)
        except asyncio.CancelledError:
            await _stop(reply, ended, call.grace_s)
            raise
        finally:
            del self._running[errand.handle]

    def _handle(self, call: TaskCall) -> str:
        start = f".{call.map.start}" if call.map else ""
        attempt = f"{call.attempt}.{call.epoch}"
        number = f"{self._word}.{next(self._numbers)}"
        return f"flowdapt/{call.run.uid}/{call.stage}{start}/{attempt}/{number}"

    async def _inputs(
        self, call: TaskCall
    ) -> tuple[dict[str, Any], dict[str, remote.Lent], list[str]]:
        """Return the live copies that the call needs, and the handles that nothing stands for."""
        refs = (*call.args, call.run.input)
        handles = {handle for ref in refs for handle in handles_of(ref)}
        found = self._lifter.copies(handles) if self._lifter is not None else {}
        lent: dict[str, remote.Lent] = {}
        for handle in filter(self.holds, handles):
            copy = self._copies[handle]
            if copy.area is not None and not self._copies.by_name:
                await in_thread(partial(copy.move, self._home, ray.put))
            if (by_name := copy.lent()) is not None:
                lent[handle] = by_name
            else:
                found[handle] = copy.ref
        needed = {handle for ref in refs for handle in only_held(ref)}
        return found, lent, sorted(needed - found.keys() - lent.keys())

    async def _outcome(
        self,
        errand: remote.Errand,
        told: Hearing,
        ending: asyncio.Future[bytes | Exception],
        value: Any,
        held: dict[str, Any],
    ) -> Outcome:
        call = errand.call
        reply = await ending
        if isinstance(reply, Exception):
            return self._broken(call, reply, held)
        ended = _read_reply(reply)
        *events, outcome = read_message(ended.message)
        await told.heard(ended.words)
        told.tell(events)
        if errand.handle in handles_of(getattr(outcome, "value", ValueRef("inline"))):
            try:
                self._keep(errand.handle, call.run.uid, ended, value)
            except OSError:
                return losses.told(call, errors.WorkerCrashedError())
        return outcome  # type: ignore[return-value]  # the last word of a message is the outcome

    def _keep(self, handle: str, run: str, ended: remote.Reply, value: Any) -> None:
        if ended.lent is not None:
            self._copies.take(handle, run, ended.lent)
        else:
            self._copies[handle] = Copy(run, "pickle", value, ended.node, None)

    def _broken(self, call: TaskCall, error: Exception, held: dict[str, Any]) -> Outcome:
        """Tell a task that Ray gave up: only errors of bodies are values."""
        self._doubted.set()
        cause = losses.cause_of(error)
        if isinstance(cause, errors.ObjectLostError):
            gone = [h for h, ref in held.items() if ref.hex() == cause.object_ref_hex]
            for handle in gone:
                self._copies.pop(handle, None)
            return endings.missing(call, gone or sorted(held))
        return losses.told(call, cause)

    # -- values --------------------------------------------------------------------------------------

    def holds(self, handle: str) -> bool:
        return self._copies.holds(handle, self._nodes)

    def forget(self, run: str) -> None:
        self._copies.forget(run)
        if self._lifter is not None:
            self._lifter.forget(run)

    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        if not self.holds(ref.handle):
            raise MissingObject(f"the cluster has nothing any more under {ref.handle}")
        copy, root = self._copies[ref.handle], self._environment.values_root
        try:
            if copy.area is not None:
                return await asyncio.to_thread(copy.write, ref, root, name)
            if self._shares_files and not self._session.is_ours:
                write = ray.remote(remote.write_value).options(num_cpus=0, max_retries=0)
                return _read_value(await write.remote(_encode(ref), root, name, copy.ref))
            kept: Pickled = await copy.ref
            return await asyncio.to_thread(kept.write, ref, root, name)
        except errors.RayTaskError as error:
            if isinstance(error.cause, OSError):
                raise OSError(str(error.cause)) from error
            raise self._unwritten(ref, error) from error
        except (errors.RayError, ConnectionError) as error:
            raise self._unwritten(ref, error) from error

    def _unwritten(self, ref: ValueRef, error: Exception) -> Exception:
        cause = losses.cause_of(error)
        if isinstance(cause, errors.ObjectLostError):
            self._copies.pop(ref.handle, None)
            return MissingObject(f"the cluster lost what was under {ref.handle}")
        return ExecutorUnavailable(f"the value could not be written: {losses.last_line(error)}")

    async def check(self) -> list[Finding]:
        return await checks.rows(
            self._options, self._environment, self._nodes, shares_files=self._shares_files
        )


async def _wait_for(reply: Any) -> bytes | Exception:
    """Return what came of a remote call; the errors of Ray as values, for perhaps nobody waits."""
    try:
        data: bytes = await reply
    except Exception as error:
        return error
    return data


async def _stop(reply: Any, ended: asyncio.Future[Any], grace_s: float) -> None:
    """Have the task dropped or its body stopped; kill its worker when that does not help."""
    for force, seconds in ((False, grace_s + _STOP_S), (True, _STOP_S)):
        with suppress(Exception):
            ray.cancel(reply, force=force)
        done, _ = await asyncio.wait([ended], timeout=seconds)
        if done:
            return


async def _put(key: str, value: Any) -> Any:
    return await asyncio.to_thread(ray.put, value)
