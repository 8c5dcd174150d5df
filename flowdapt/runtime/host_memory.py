"""Decide how a body reaches the cluster memory of a cluster: it asks the worker that hosts its process.

The body knows nothing of the cluster's library; the host keeps values as `Pickled` wherever its
cluster keeps things (`Shelf`). What passes between both are short messages and memory.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import select
import socket
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from flowdapt.runtime import memory, values
from flowdapt.runtime.areas import Area
from flowdapt.runtime.memory import ClusterMemory
from flowdapt.runtime.own_folder import OwnFolder
from flowdapt.runtime.pickled import Pickled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.domain.task import WorkerEnvironment

__all__ = ["EXTENSION", "LEASE_S", "HostMemory", "MemoryServer", "Shelf", "install", "scope_of"]

EXTENSION = f"{__name__}:install"
# So long a lock outlives a host that dies with its bodies; a host that is only slow takes it anew in time.
LEASE_S = 15.0
_RENEW_S = 3.0
# In between it is looked whether anybody still wants the lock.
_WAIT_S = 2.0
# A cluster may never forget the name of a lock: keys share a few.
_LOCKS = 64
_MESSAGE_MAX = 64 * 1024


def scope_of(environment: WorkerEnvironment) -> str:
    """Return whose memory it is on a cluster that others use too: those who share a storage share it."""
    shared = environment.artifacts_url
    if not shared or shared.startswith(("/", "file:")):
        shared = f"{socket.gethostname()}:{os.path.realpath(environment.values_root)}"
    return hashlib.sha256(shared.encode()).hexdigest()[:12]


class Shelf(ABC):
    """Where a cluster keeps the values of its memory. Called from threads of the host; may block.

    Each raises OSError when the cluster cannot be asked.
    """

    @abstractmethod
    def put(self, namespace: str, key: str, kept: Pickled) -> None:
        """Keep a value in the place of the one before."""

    @abstractmethod
    def find(self, namespace: str, key: str) -> Pickled | None:
        """Return the value, if there is one and it was not lost."""

    @abstractmethod
    def exists(self, namespace: str, key: str) -> bool: ...

    @abstractmethod
    def delete(self, namespace: str, key: str) -> bool:
        """Forget the value; say whether there was one."""

    @abstractmethod
    def take_lock(self, name: str, owner: str, wait_s: float) -> bool:
        """Give the lock to the owner for LEASE_S, or for so long again; say whether it has it.

        One that somebody else has is waited for.
        """

    @abstractmethod
    def drop_lock(self, name: str, owner: str) -> None:
        """Take the lock from the owner, who has it, or had it until its time was over."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A question; the value of a `put` comes as a descriptor beside it.

    The lock of a key is held until the connection ends on which it was asked for.
    """

    what: Literal["put", "get", "exists", "delete", "lock"]
    namespace: str
    key: str
    codec: Literal["json", "pickle", "parts"] = "json"


class Told(msgspec.Struct, frozen=True, array_like=True):
    """An answer; the value of a `get` comes as a descriptor beside it."""

    there: bool
    codec: Literal["json", "pickle", "parts"] = "json"
    error: str = ""


_encode = msgspec.msgpack.Encoder().encode
_read_ask = msgspec.msgpack.Decoder(Ask).decode
_read_told = msgspec.msgpack.Decoder(Told).decode


def install() -> None:
    """Have this process ask its host for cluster memory; an extension of workers."""
    memory.use_memory(HostMemory)


class HostMemory(ClusterMemory):
    """The body's side: one connection, one question at a time."""

    def __init__(self, environment: WorkerEnvironment) -> None:
        self._path = environment.memory_root
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None

    def put(self, namespace: str, key: str, value: Any) -> None:
        kept = Pickled.of(value)
        area = Area.of(kept.pieces()[0])
        try:
            self._ask(Ask("put", namespace, key, kept.codec), area.fd)
        finally:
            area.close()

    def get(self, namespace: str, key: str) -> Any:
        told, area = self._ask(Ask("get", namespace, key))
        if not told.there or area is None:
            raise KeyError(key)
        content = area.map() if area.size else memoryview(b"")
        area.close()
        return values.load_content(content, told.codec, key)

    def exists(self, namespace: str, key: str) -> bool:
        return self._ask(Ask("exists", namespace, key))[0].there

    def delete(self, namespace: str, key: str) -> bool:
        return self._ask(Ask("delete", namespace, key))[0].there

    @contextmanager
    def locked(self, namespace: str, key: str) -> Iterator[None]:
        # Another thread of this body may ask meanwhile: the lock has a connection of its own.
        channel = self._dial()
        try:
            channel.send(_encode(Ask("lock", namespace, key)))
            _told(channel.recv(_MESSAGE_MAX))
            yield
            if _speaks(channel, 0):
                raise OSError(f"cluster memory: the lock of {key!r} was lost while it was held")
        finally:
            # A process that the body started may have inherited the connection.
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
            channel.close()

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        with self._lock:
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _ask(self, ask: Ask, fd: int | None = None) -> tuple[Told, Area | None]:
        with self._lock:
            channel = self._channel = self._channel or self._dial()
            socket.send_fds(channel, [_encode(ask)], [] if fd is None else [fd])
            body, fds, _, _ = socket.recv_fds(channel, _MESSAGE_MAX, 1)
        return _told(body), Area(fds[0]) if fds else None

    def _dial(self) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            channel.connect(self._path)
        except OSError:
            channel.close()
            raise
        return channel


def _told(body: bytes) -> Told:
    if not body:
        raise OSError("the worker that hosts this stage does not answer for cluster memory")
    told = _read_told(body)
    if told.error:
        raise OSError(f"cluster memory: {told.error}")
    return told


class MemoryServer:
    """The host's side: answers the processes of its tasks, each in a thread of its own."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        # The folder is private to this user, so is what lies in it.
        self._folder = OwnFolder("flowdapt-memory-")
        self.path = str(self._folder.path / "memory.sock")
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.bind(self.path)
        self._server.listen(64)
        threading.Thread(target=self._accept, name="flowdapt-memory", daemon=True).start()

    def close(self) -> None:
        """Answer nobody new."""
        self._server.close()
        self._folder.remove()

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(channel,), name="flowdapt-memory", daemon=True
            ).start()

    def _serve(self, channel: socket.socket) -> None:
        with channel, suppress(OSError):  # it is gone
            while True:
                body, fds, _, _ = socket.recv_fds(channel, _MESSAGE_MAX, 1)
                if not body:
                    return None
                area = Area(fds[0]) if fds else None
                try:
                    ask = _read_ask(body)
                    if ask.what == "lock":
                        return self._hold(channel, _lock_of(ask))
                    told, found = self._answer(ask, area)
                except Exception as error:
                    told, found = Told(False, error=f"{type(error).__name__}: {error}"), None
                socket.send_fds(channel, [_encode(told)], [] if found is None else [found.fd])

    def _answer(self, ask: Ask, area: Area | None) -> tuple[Told, Area | None]:
        if ask.what == "put":
            assert area is not None
            self._shelf.put(ask.namespace, ask.key, Pickled.in_area(area, ask.codec))
            return Told(there=True), None
        if ask.what == "exists":
            return Told(self._shelf.exists(ask.namespace, ask.key)), None
        if ask.what == "delete":
            return Told(self._shelf.delete(ask.namespace, ask.key)), None
        kept = self._shelf.find(ask.namespace, ask.key)
        if kept is None:
            return Told(there=False), None
        return Told(there=True, codec=kept.codec), kept.area() or Area.of(kept.pieces()[0])

    def _hold(self, channel: socket.socket, name: str) -> None:
        """Have the lock until the body lets go or is gone; hang up when it is lost."""
        owner = secrets.token_hex(8)
        while not self._shelf.take_lock(name, owner, _WAIT_S):
            if _speaks(channel, 0):
                return
        try:
            channel.send(_encode(Told(there=True)))
            while not _speaks(channel, _RENEW_S):
                if not self._shelf.take_lock(name, owner, 0):
                    channel.shutdown(socket.SHUT_RDWR)  # before the cluster is asked again
                    return
        finally:
            with suppress(Exception):  # nobody hears it, and the lease ends by itself
                self._shelf.drop_lock(name, owner)


def _lock_of(ask: Ask) -> str:
    digest = hashlib.sha256(f"{ask.namespace}/{ask.key}".encode()).digest()
    return f"lock-{digest[0] % _LOCKS}"


def _speaks(channel: socket.socket, within_s: float) -> bool:
    """Say whether the other side said something or hung up; either ends the lock."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(within_s * 1000))
