"""The object store: one value per key, one error for missing, and a delete that deletes."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from flowdapt import artifacts, objects
from flowdapt.domain.errors import (
    InvalidInput,
    InvalidName,
    MissingObject,
    OutsideStage,
    StorageFull,
    UnstorableResult,
)
from flowdapt.runtime.memory import FileMemory
from tests.runtime.stage_calls import environment, stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flowdapt.domain.task import WorkerEnvironment

STRATEGIES = ["fallback", "artifact", "cluster_memory"]


@pytest.fixture
def where(tmp_path: Path) -> WorkerEnvironment:
    return environment(tmp_path)


@pytest.fixture(autouse=True)
def _in_stage(where: WorkerEnvironment, request: pytest.FixtureRequest) -> Iterator[None]:
    if "outside" in request.node.name:
        yield
        return
    with stage(where):
        yield


@pytest.fixture
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FileMemory, "put", full)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("value", [{"a": [1]}, (1, 2), None, 0], ids=repr)
def test_a_value_comes_back(strategy: objects.Strategy, value: object) -> None:
    objects.put("key", value, strategy=strategy)
    assert objects.exists("key", strategy=strategy)
    assert objects.get("key", strategy=strategy) == value
    assert objects.get("key") == value


def test_an_array_comes_back_from_either_place() -> None:
    for strategy in ("cluster_memory", "artifact"):
        objects.put(f"{strategy}-key", np.arange(50_000), strategy=strategy)
        assert objects.get(f"{strategy}-key").sum() == 49_999 * 25_000


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_missing_is_one_error_whatever_the_strategy(strategy: objects.Strategy) -> None:
    assert not objects.exists("key", strategy=strategy)
    with pytest.raises(MissingObject, match="'key'"):
        objects.get("key", strategy=strategy)
    with pytest.raises(MissingObject):
        objects.delete("key", strategy=strategy)


def test_a_default_stands_in_for_a_missing_value() -> None:
    assert objects.get("key", None) is None
    assert objects.get("key", default=5) == 5
    objects.put("key", 1)
    assert objects.get("key", 5) == 1


def test_by_default_a_value_lies_in_memory_alone() -> None:
    objects.put("key", 1)
    assert objects.exists("key", strategy="cluster_memory")
    assert not objects.exists("key", strategy="artifact")


@pytest.mark.usefixtures("_no_memory")
def test_without_room_in_memory_the_value_becomes_an_artifact() -> None:
    objects.put("key", {"a": 1})
    assert not objects.exists("key", strategy="cluster_memory")
    assert objects.get("key") == {"a": 1}


@pytest.mark.usefixtures("_no_memory")
def test_without_room_memory_alone_says_so() -> None:
    with pytest.raises(StorageFull, match="'key'"):
        objects.put("key", 1, strategy="cluster_memory")
    assert not objects.exists("key")


def test_delete_deletes_in_both_places(where: WorkerEnvironment) -> None:
    FileMemory(where.memory_root).put("default", "key", "in memory")
    artifacts.put("object.key", "in an artifact")
    objects.delete("key")
    assert not objects.exists("key")
    with pytest.raises(MissingObject):
        objects.get("key")


@pytest.mark.parametrize("first", STRATEGIES)
@pytest.mark.parametrize("second", STRATEGIES)
def test_an_old_value_never_comes_back(
    first: objects.Strategy, second: objects.Strategy, where: WorkerEnvironment
) -> None:
    objects.put("key", "old", strategy=first)
    objects.put("key", "new", strategy=second)
    assert objects.get("key") == "new"
    # A lost memory (a restart of the machine) must not uncover what was replaced.
    FileMemory(where.memory_root).delete("default", "key")
    assert objects.get("key", "gone") in ({"new"} if second == "artifact" else {"gone"})


def test_after_a_delete_nothing_comes_back() -> None:
    objects.put("key", "old", strategy="artifact")
    objects.put("key", "new")
    objects.delete("key")
    assert objects.get("key", "gone") == "gone"


def test_the_users_artifacts_are_not_objects() -> None:
    artifacts.put("model", "an artifact")
    assert not objects.exists("model")
    objects.put("model", "an object", strategy="artifact")
    objects.delete("model")
    assert artifacts.get("model") == "an artifact"


def test_namespaces_do_not_meet(where: WorkerEnvironment) -> None:
    objects.put("key", 1)
    objects.put("key", 2, namespace="other")
    assert objects.get("key") == 1
    with stage(where, namespace="other"):
        assert objects.get("key") == 2
        objects.delete("key")
    assert objects.get("key") == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("key", ["New York", "a/b/../c", "x" * 256, "grüße"])
def test_any_key_that_can_be_shown_works(strategy: objects.Strategy, key: str) -> None:
    objects.put(key, 1, strategy=strategy)
    assert objects.get(key, strategy=strategy) == 1
    objects.delete(key, strategy=strategy)


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 257])
def test_a_bad_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidName):
        objects.put(key, 1)


def test_a_bad_namespace_is_refused() -> None:
    with pytest.raises(InvalidName):
        objects.put("key", 1, namespace="../x")


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'memory'") as caught:
        objects.put("key", 1, strategy="memory")  # type: ignore[arg-type]
    assert caught.value.fix == "use fallback, artifact or cluster_memory"


def test_a_value_that_cannot_be_stored_leaves_the_old_one() -> None:
    objects.put("key", "old")
    with pytest.raises(UnstorableResult):
        objects.put("key", threading.Lock())
    assert objects.get("key") == "old"


def test_outside_a_stage_there_is_no_object_store() -> None:
    with pytest.raises(OutsideStage):
        objects.get("key", None)


def test_puts_into_both_places_at_once_leave_exactly_one_value() -> None:
    def write(strategy: objects.Strategy) -> None:
        for turn in range(20):
            objects.put("key", f"{strategy} {turn}", strategy=strategy)

    threads = [threading.Thread(target=write, args=(s,)) for s in ("artifact", "cluster_memory")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    places = [objects.exists("key", strategy=s) for s in ("artifact", "cluster_memory")]
    assert sorted(places) == [False, True]
    assert objects.get("key").endswith(" 19")
