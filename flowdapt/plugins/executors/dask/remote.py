"""Decide what happens inside a Dask worker: a task begins once, its body runs in a child, its value stays.

Any cluster's workers import this module; what they are told comes as one `Errand`.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from flowdapt.domain.task import TaskCall, ValueRef, WorkerEnvironment
from flowdapt.plugins.executors.dask.shelf import DaskShelf
from flowdapt.runtime.host_memory import EXTENSION, MemoryServer
from flowdapt.runtime.hosted import Hosted, hosted_in
from flowdapt.runtime.unbundle import Versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Worker

    from flowdapt.runtime.pickled import Pickled

__all__ = [
    "TASK",
    "Attend",
    "BeganBefore",
    "Errand",
    "Reply",
    "read_probe",
    "run_task",
    "write_value",
]

# A word that does not reach the scheduler in this time is dropped: the outcome brings what matters.
_WORD_S = 5.0
_LAST_WORD_S = 1.0
_FULL_S = 0.2
_TRIES, _RETRY_S = 100, 0.01


# How the key of each attempt ends.
TASK = "/task"


class BeganBefore(Exception):
    """Dask has begun this task before; nobody but us decides about a second time."""


class Errand(msgspec.Struct, frozen=True):
    """One task, as it is told to a worker.

    key     the name of the attempt, for Dask the key of the task.
    handle  the key of its value, when it is kept.
    client  whose the value is; queue  where words go; sha256  which code, empty: what lies here.
    memory  whose cluster memory it is, on the cluster; empty: it lies in files that all workers see.
    """

    call: TaskCall
    environment: WorkerEnvironment
    key: str
    handle: str
    client: str
    queue: str
    shares_files: bool
    memory: str = ""
    sha256: str = ""


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What a task returns: how many words it sent before, its last message, whether a value is kept."""

    words: int
    message: bytes
    kept: bool


_encode = msgspec.msgpack.Encoder().encode
_read_errand = msgspec.msgpack.Decoder(Errand).decode
_codes = Versions()
_memory: dict[tuple[str, str], MemoryServer] = {}
_lock = threading.Lock()
_running: dict[str, tuple[Hosted, str]] = {}
_claims: dict[str, Future[None]] = {}


def run_task(data: bytes, handles: Sequence[str], values: Sequence[Pickled], code: Any) -> bytes:
    """Run one task to its end; raise BeganBefore, ExecutorUnavailable."""
    errand = _read_errand(data)
    worker = get_worker()
    _begin(worker, errand.key)
    environment = _environment(errand, code)
    if errand.memory:
        environment = _with_memory(environment, worker, errand.memory)
    hosted = hosted_in(environment, shares_files=errand.shares_files)
    words = _Words(worker, errand)
    _running[errand.key] = hosted, errand.handle
    try:
        held = dict(zip(handles, values, strict=True))
        done = hosted.run(errand.call, held, words.say, errand.handle)
        if done.kept is not None:
            _call(worker, _keep(worker, errand, done.kept))
    finally:
        del _running[errand.key]
        if words.count:
            words.end()
    return _encode(Reply(words.count, done.message, done.kept is not None))


def _environment(errand: Errand, code: Any) -> WorkerEnvironment:
    if not errand.sha256:
        return errand.environment
    unpacked = _codes.get(errand.sha256, lambda: bytes(code))
    return msgspec.structs.replace(
        errand.environment,
        user_modules=unpacked.user_modules,
        python_path=unpacked.python_path,
        cwd="",
    )


def _with_memory(environment: WorkerEnvironment, worker: Worker, scope: str) -> WorkerEnvironment:
    with _lock:
        server = _memory.get((worker.id, scope))
        if server is None:
            server = _memory[worker.id, scope] = MemoryServer(DaskShelf(worker, scope))
    return msgspec.structs.replace(
        environment,
        memory_root=server.path,
        extensions=(*environment.extensions, EXTENSION),
    )


def _call(worker: Worker, work: Any, seconds: float | None = None) -> Any:
    """Do something on the worker's loop and wait for it."""
    loop: Any = worker.loop  # tornado's, which wraps the one that is meant
    return asyncio.run_coroutine_threadsafe(work, loop.asyncio_loop).result(seconds)


def _begin(worker: Worker, key: str) -> None:
    """Go on only as the first one that begins this attempt; most often that is known by now."""
    claim = _claims.pop(key, None)
    if claim is None:
        _call(worker, _take_place(worker, key))
    else:
        claim.result()


async def _take_place(worker: Worker, key: str) -> None:
    """Take the one place in the queue of this attempt; a second beginning finds it full, or gone."""
    for _ in range(_TRIES):
        try:
            await worker.scheduler.queue_put(name=key, data=True, timeout=_FULL_S)
        except TimeoutError:
            break
        except KeyError:  # the bridge has it made while the task is on its way
            await asyncio.sleep(_RETRY_S)
        else:
            return
    raise BeganBefore(key)


async def _keep(worker: Worker, errand: Errand, kept: Pickled) -> None:
    """Keep a value as data of its own: what no task made, Dask never makes again by itself."""
    answer = worker.update_data({errand.handle: kept})
    await worker.scheduler.update_data(
        who_has={errand.handle: [worker.address]},
        nbytes=answer["nbytes"],
        client=errand.client,
    )


class _Words:
    """What a task says while it runs, one message after the other, through a queue of the scheduler."""

    def __init__(self, worker: Worker, errand: Errand) -> None:
        self._worker = worker
        self._errand = errand
        self.count = 0

    def say(self, body: bytes) -> None:
        self._send(body, _WORD_S)
        self.count += 1

    def end(self) -> None:
        self._send(b"", _LAST_WORD_S)

    def _send(self, body: bytes, seconds: float) -> None:
        errand = self._errand
        word = (errand.key, self._worker.address, self.count, body)
        # The queue is gone with its client; an outcome that nobody waits for is dropped as well.
        with suppress(Exception):
            _call(self._worker, self._put(errand.queue, word), seconds)

    async def _put(self, queue: str, word: tuple[Any, ...]) -> None:
        await self._worker.scheduler.queue_put(name=queue, data=word, timeout=_WORD_S)


class Attend(WorkerPlugin):
    """Takes the places of attempts that begin, and has bodies stopped that Dask no longer wants."""

    name = "flowdapt-attend"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        self._worker = worker
        self._taking: set[asyncio.Task[None]] = set()

    def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
        if finish == "executing" and str(key).endswith(TASK):
            self._claim(key)
        elif start == "executing":
            _claims.pop(key, None)
        dropped = start in ("executing", "long-running") and finish in ("cancelled", "released")
        if dropped and (found := _running.get(key)):
            hosted, handle = found
            hosted.cancel(handle)

    def _claim(self, key: str) -> None:
        """Take the place of the attempt while Dask still makes the task ready."""
        claim: Future[None] = Future()
        _claims[key] = claim

        def pass_on(taken: asyncio.Task[None]) -> None:
            error = None if taken.cancelled() else taken.exception()
            if error is not None or taken.cancelled():
                claim.set_exception(error or BeganBefore(key))
            else:
                claim.set_result(None)

        taking = asyncio.ensure_future(_take_place(self._worker, key))
        self._taking.add(taking)  # the loop alone would let it go
        taking.add_done_callback(pass_on)
        taking.add_done_callback(self._taking.discard)

    def teardown(self, worker: Worker) -> None:
        for hosted, handle in list(_running.values()):
            hosted.cancel(handle)
        for key in [key for key in _memory if key[0] == worker.id]:
            _memory.pop(key).close()


def write_value(data: bytes, root: str, name: str, kept: Pickled) -> bytes:
    """Write a value to a file that daemon and workers share; return its reference."""
    ref = msgspec.msgpack.decode(data, type=ValueRef)
    return _encode(kept.write(ref, root, name))


def read_probe(path: str) -> str:
    """Return what a file holds that the daemon's side wrote, or nothing."""
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
