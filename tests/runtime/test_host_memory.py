"""Cluster memory through the host: whatever a body puts there, another body of that host finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from flowdapt.domain.task import WorkerEnvironment
from flowdapt.runtime.host_memory import HostMemory, MemoryServer, Shelf, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.runtime.pickled import Pickled


class DictShelf(Shelf):
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Pickled] = {}
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


def test_daemons_share_memory_only_when_they_share_a_storage() -> None:
    def scope(values: str, artifacts: str) -> str:
        return scope_of(WorkerEnvironment(values, artifacts, ""))

    assert scope("/a", "/a/artifacts") != scope("/b", "/b/artifacts")
    assert scope("/a", "") == scope("/a", "file:///a/artifacts")
    assert scope("/a", "s3://lab/x") == scope("/b", "s3://lab/x")
