"""Decide what happens inside a Ray worker: the body runs in a child, words go to the ear, the value stays.

Any cluster's workers import this module; what they are told comes as one `Errand`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from flowdapt.domain.task import TaskCall, ValueRef, WorkerEnvironment
from flowdapt.plugins.executors.ray.shelf import RayShelf
from flowdapt.runtime import lending
from flowdapt.runtime.areas import Area
from flowdapt.runtime.facts import facts
from flowdapt.runtime.host_memory import EXTENSION, MemoryServer
from flowdapt.runtime.hosted import Hosted, hosted_in
from flowdapt.runtime.pickled import Codec, Pickled
from flowdapt.runtime.unbundle import Versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowdapt.runtime.hosted import Done

__all__ = ["NAMESPACE", "Ear", "Errand", "Lent", "Reply", "Word", "look", "run_task", "write_value"]

NAMESPACE = "flowdapt"
# Ray interrupts the main thread without waking it: it looks this often by itself.
_LOOK_S = 0.1
_LISTEN_S = 10.0
_WORDS_MAX = 10_000

# key of the task, node, number of the word, body of the message
Word = tuple[str, str, int, bytes]


class Lent(msgspec.Struct, frozen=True, array_like=True):
    """Memory that holds a value, by a name that processes of this user open on this machine."""

    path: str
    inode: int
    codec: Codec

    def take(self) -> Pickled:
        """Return the value; raise OSError when it is there no more."""
        return Pickled.in_area(Area.taken(self.path, self.inode), self.codec)


class Errand(msgspec.Struct, frozen=True):
    """One task, as it is told to a worker.

    handle  the name of the attempt, and of its value when one is kept.
    ear     the name of the actor that takes words; sha256: which code, empty: what lies here.
    memory  cluster memory lies on the cluster; else in files that all workers see.
    lends   the result may stay in the memory that it was written to; `lent` are inputs like that.
    """

    call: TaskCall
    environment: WorkerEnvironment
    handle: str
    ear: str
    shares_files: bool
    memory: bool = False
    lends: bool = False
    lent: dict[str, Lent] = {}
    sha256: str = ""


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What a task returns: how many words it sent before, its last message, the node of its value.

    `lent`: the value itself, which did not go to the store.
    """

    words: int
    message: bytes
    node: str
    lent: Lent | None = None


_encode = msgspec.msgpack.Encoder().encode
_read_errand = msgspec.msgpack.Decoder(Errand).decode
_codes = Versions()
_ears: dict[str, Any] = {}
_memory: list[MemoryServer] = []


def run_task(
    data: bytes, handles: Sequence[str], code: Any, *copies: Pickled
) -> tuple[bytes, Pickled | None]:
    """Run one task to its end; raise ExecutorUnavailable.

    The body has a thread beside the main one, which Ray interrupts when the task is cancelled.
    """
    errand = _read_errand(data)
    hosted = hosted_in(_environment(errand, code), shares_files=errand.shares_files)
    held = dict(zip(handles, copies, strict=True))
    held |= {handle: lent.take() for handle, lent in errand.lent.items()}
    body = _Body(hosted, errand, held)
    node = ray.get_runtime_context().get_node_id()
    words = 0
    while True:
        try:
            word = body.next_word()
            if word is None:
                done = body.result()
                lent = _lend(done.kept) if errand.lends else None
                reply = Reply(words, done.message, node, lent)
                return _encode(reply), done.kept if lent is None else None
            _tell(errand, (errand.handle, node, words, word))
            words += 1
        except KeyboardInterrupt:
            hosted.cancel(errand.handle)


def _lend(kept: Pickled | None) -> Lent | None:
    """Offer a value for the few moments until the bridge has opened it."""
    area = kept.area() if kept is not None else None
    if kept is None or area is None or not lending.lend(area):
        return None
    return Lent(area.path, area.inode, kept.codec)


class _Body:
    """The thread that waits for the child, and what it hears meanwhile."""

    def __init__(self, hosted: Hosted, errand: Errand, held: dict[str, Pickled]) -> None:
        self._words: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._result: Done | BaseException | None = None
        call = _on_devices(errand.call)

        def run() -> None:
            try:
                self._result = hosted.run(call, held, self._words.put, errand.handle)
            except BaseException as error:
                self._result = error
            self._words.put(None)

        threading.Thread(target=run, name="flowdapt-body", daemon=True).start()

    def next_word(self) -> bytes | None:
        while True:
            try:
                return self._words.get(timeout=_LOOK_S)
            except queue.Empty:
                # An interrupt takes along the word that is just handed over, perhaps the last one.
                if self._result is not None and self._words.empty():
                    return None

    def result(self) -> Done:
        if isinstance(self._result, BaseException):
            raise self._result
        assert self._result is not None
        return self._result


def _on_devices(call: TaskCall) -> TaskCall:
    """Name the GPUs that Ray chose: only a process that starts with them sees them."""
    devices = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    return msgspec.structs.replace(call, gpu_devices=",".join(devices)) if devices else call


def _environment(errand: Errand, code: Any) -> WorkerEnvironment:
    environment = errand.environment
    if errand.sha256:
        unpacked = _codes.get(errand.sha256, lambda: bytes(code))
        environment = msgspec.structs.replace(
            environment,
            user_modules=unpacked.user_modules,
            python_path=unpacked.python_path,
            cwd="",
        )
    return _with_memory(environment) if errand.memory else environment


def _with_memory(environment: WorkerEnvironment) -> WorkerEnvironment:
    if not _memory:
        server = MemoryServer(RayShelf(NAMESPACE))
        atexit.register(server.close)
        _memory.append(server)
    return msgspec.structs.replace(
        environment,
        memory_root=_memory[0].path,
        extensions=(*environment.extensions, EXTENSION),
    )


def _tell(errand: Errand, word: Word) -> None:
    ear = _ears.get(errand.ear)
    if ear is None:
        try:
            ear = _ears[errand.ear] = ray.get_actor(errand.ear, namespace=NAMESPACE)
        except ValueError:  # it is gone with whoever asked for the task
            return
    ear.tell.remote(word)


class Ear:
    """An actor that takes words from tasks until the bridge fetches them."""

    def __init__(self) -> None:
        self._words: list[Word] = []
        self._stirred = asyncio.Event()

    async def tell(self, word: Word) -> None:
        """Keep a word; of those that nobody fetches the oldest go."""
        self._words.append(word)
        del self._words[:-_WORDS_MAX]
        self._stirred.set()

    async def listen(self) -> list[Word]:
        """Return what came since the last time, waiting a while for it."""
        try:
            await asyncio.wait_for(self._stirred.wait(), _LISTEN_S)
        except TimeoutError:
            return []
        self._stirred.clear()
        words, self._words = self._words, []
        return words


def write_value(data: bytes, root: str, name: str, kept: Pickled) -> bytes:
    """Write a value to a file that daemon and workers share; return its reference."""
    ref = msgspec.msgpack.decode(data, type=ValueRef)
    return _encode(kept.write(ref, root, name))


def look(probe: str) -> tuple[dict[str, Any], str]:
    """Return what this worker is, and what it reads in a file that the daemon's side wrote."""
    try:
        word = Path(probe).read_text(encoding="ascii") if probe else ""
    except OSError:
        word = ""
    return {**facts(), "pid": os.getpid()}, word
