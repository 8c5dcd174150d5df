"""Cluster memory through the host: whatever a body puts there, another body of that host finds."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from flowdapt.domain.task import WorkerEnvironment
from flowdapt.runtime import host_memory
from flowdapt.runtime.host_memory import HostMemory, MemoryServer, Shelf, scope_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.runtime.pickled import Pickled


class DictShelf(Shelf):
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Pickled] = {}
        self.owners: dict[str, str] = {}
        self.kept_out = self.dropped = 0
        self.broken = False

    def put(self, namespace: str, key: str, kept: Pickled) -> None:
        if self.broken:
            raise OSError("no cluster")
        self.kept[namespace, key] = kept

    def find(self, namespace: str, key: str) -> Pickled | None:
        return self.kept.get((namespace, key))

    def exists(self, namespace: str, key: str) -> bool:
        return (namespace, key) in self.kept

    def delete(self, namespace: str, key: str) -> bool:
        return self.kept.pop((namespace, key), None) is not None

    def take_lock(self, name: str, owner: str, wait_s: float) -> bool:
        if self.broken:
            raise OSError("no cluster")
        deadline = time.monotonic() + wait_s
        while self.owners.setdefault(name, owner) != owner:
            self.kept_out += 1
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def drop_lock(self, name: str, owner: str) -> None:
        self.dropped += 1
        if self.owners.get(name) == owner:
            del self.owners[name]


@pytest.fixture
def shelf() -> DictShelf:
    return DictShelf()


@pytest.fixture
def server(shelf: DictShelf) -> Iterator[MemoryServer]:
    made = MemoryServer(shelf)
    yield made
    made.close()


@pytest.fixture
def memory(server: MemoryServer) -> Iterator[HostMemory]:
    made = HostMemory(WorkerEnvironment("", "", server.path))
    yield made
    made.close()


@pytest.mark.parametrize(
    "value", [None, {"a": [1, "ä"]}, (1, 2), np.arange(100_000), "x" * 1_000_000]
)
def test_what_is_put_is_found_by_others(
    memory: HostMemory, server: MemoryServer, value: Any
) -> None:
    memory.put("default", "k", value)
    other = HostMemory(WorkerEnvironment("", "", server.path))
    found = other.get("default", "k")
    other.close()
    assert type(found) is type(value)
    assert np.array_equal(found, value)


def test_a_found_array_may_be_changed_without_harm(memory: HostMemory) -> None:
    memory.put("default", "k", np.zeros(100_000))
    found = memory.get("default", "k")
    found += 1
    assert not memory.get("default", "k").any()


def test_a_missing_key_is_a_key_error(memory: HostMemory) -> None:
    with pytest.raises(KeyError):
        memory.get("default", "k")
    assert not memory.exists("default", "k")
    assert not memory.delete("default", "k")


def test_a_key_belongs_to_its_namespace_and_can_be_deleted(memory: HostMemory) -> None:
    memory.put("one", "k", 1)
    assert memory.exists("one", "k")
    assert not memory.exists("two", "k")
    assert memory.delete("one", "k")
    assert not memory.exists("one", "k")


def test_a_cluster_that_cannot_be_asked_is_an_os_error(
    memory: HostMemory, shelf: DictShelf
) -> None:
    shelf.broken = True
    with pytest.raises(OSError, match="no cluster"):
        memory.put("default", "k", 1)
    shelf.broken = False
    memory.put("default", "k", 1)
    assert memory.get("default", "k") == 1


def test_a_lock_is_held_while_its_block_runs_and_the_same_body_may_ask_for_other_things(
    memory: HostMemory, shelf: DictShelf
) -> None:
    with memory.locked("default", "k"):
        assert len(shelf.owners) == 1
        memory.put("default", "k", 1)
    eventually(lambda: not shelf.owners)


def test_who_waits_for_a_lock_gets_it_after_the_other(memory: HostMemory, shelf: DictShelf) -> None:
    order: list[str] = []

    def wait() -> None:
        with memory.locked("default", "k"):
            order.append("second")

    waiter = threading.Thread(target=wait)
    with memory.locked("default", "k"):
        waiter.start()
        eventually(lambda: shelf.kept_out)
        order.append("first")
    waiter.join(timeout=10)
    assert order == ["first", "second"]


def test_who_is_gone_while_it_waits_leaves_no_lock_behind(
    memory: HostMemory, server: MemoryServer, shelf: DictShelf
) -> None:
    with memory.locked("default", "k"), dialled(server) as killed:
        killed.send(msgspec.msgpack.encode(("lock", "default", "k")))
        eventually(lambda: shelf.kept_out)
    eventually(lambda: not shelf.owners)
    with memory.locked("default", "k"):
        assert len(shelf.owners) == 1


@contextmanager
def dialled(server: MemoryServer) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.connect(server.path)
        yield channel


def test_a_lock_that_was_lost_is_told_to_its_holder(
    memory: HostMemory, shelf: DictShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "_RENEW_S", 0.02)

    def lose() -> None:
        with memory.locked("default", "k"):
            shelf.owners = dict.fromkeys(shelf.owners, "somebody else")
            eventually(lambda: shelf.dropped)

    with pytest.raises(OSError, match="'k' was lost"):
        lose()
    assert list(shelf.owners.values()) == ["somebody else"]


def test_a_cluster_that_cannot_be_asked_for_a_lock_is_an_os_error(
    memory: HostMemory, shelf: DictShelf
) -> None:
    shelf.broken = True
    with pytest.raises(OSError, match="no cluster"), memory.locked("default", "k"):
        raise AssertionError("it has no lock")


def test_daemons_share_memory_only_when_they_share_a_storage() -> None:
    def scope(values: str, artifacts: str) -> str:
        return scope_of(WorkerEnvironment(values, artifacts, ""))

    assert scope("/a", "/a/artifacts") != scope("/b", "/b/artifacts")
    assert scope("/a", "") == scope("/a", "file:///a/artifacts")
    assert scope("/a", "s3://lab/x") == scope("/b", "s3://lab/x")


_HOST = """
import os
from flowdapt.runtime.host_memory import MemoryServer
print(MemoryServer(None).path, flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_socket_of_a_killed_host_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    killed = subprocess.run([sys.executable, "-c", _HOST], capture_output=True, check=False)
    left = Path(killed.stdout.decode().strip())
    assert left.exists()
    server = MemoryServer(DictShelf())
    assert not left.parent.exists()
    server.close()
    assert list(tmp_path.iterdir()) == []
