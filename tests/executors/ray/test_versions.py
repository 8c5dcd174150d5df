"""A cluster of another Ray or Python is told in words before anything hangs."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
import ray

from flowdapt.plugins.executors.ray.versions import compare_with_head

PLACE = ("127.0.0.1", 6379)


class Head:
    """What stands for Ray's connection to a head."""

    told: Any

    def __init__(self, address: str) -> None:
        assert address == "127.0.0.1:6379"

    def internal_kv_get(self, key: bytes, namespace: bytes, timeout: float) -> Any:
        assert (key, namespace) == (b"CLUSTER_METADATA", b"cluster")
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> type[Head]:
    monkeypatch.setattr(import_module("ray._raylet"), "GcsClient", Head)
    return Head


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"ray_version": "2.9.0"}, f"it has Ray 2.9.0, here is {ray.__version__}"),
        ({"ray_version": ray.__version__, "python_version": "3.9.1"}, "it has Python 3.9.1, here"),
    ],
)
def test_another_version_is_told_and_not_joined(
    head: type[Head], versions: dict[str, str], words: str
) -> None:
    head.told = json.dumps(versions).encode()
    told: list[str] = []
    with pytest.raises(ConnectionError, match=words):
        compare_with_head(PLACE, told.append)
    assert told[0].startswith(words)


@pytest.mark.parametrize("answer", [OSError("away"), b"{}", b"junk", None])
def test_a_head_that_does_not_tell_may_be_joined(head: type[Head], answer: Any) -> None:
    head.told = answer
    told: list[str] = []
    compare_with_head(PLACE, told.append)
    compare_with_head(None, told.append)
    assert told == []
