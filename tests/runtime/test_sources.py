"""Slices read their source again and again: quickly where nothing can change, anew where it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowdapt.domain.errors import BadBinding
from flowdapt.domain.task import Part, ValueRef
from flowdapt.runtime import values
from flowdapt.runtime.sources import Sources, as_items


def stored(folder: Path, value: Any) -> ValueRef:
    return values.encode(value, str(folder), "run/source", inline_max_bytes=0)


def all_items(sources: Sources, ref: ValueRef) -> list[Any]:
    items = sources.open(ref)
    return [items[index] for index in range(len(items))]


CASES = [
    [1, 2, 3],
    ["a", None, 1.5],
    [{"a": [1]}, {"a": [2]}],
    [(1,), (2,)],
    (1, 2),
    [[1], (2,)],
    [],
]


@pytest.mark.parametrize("value", CASES, ids=repr)
def test_every_opening_gives_the_same_items(tmp_path: Path, value: Any) -> None:
    sources, ref = Sources(str(tmp_path)), stored(tmp_path, value)
    for _ in range(3):
        assert all_items(sources, ref) == list(value)


@pytest.mark.parametrize("value", [[[1]], [[(1,)]], [{"a": 1}]], ids=repr)
def test_what_an_item_changed_is_not_seen_again(tmp_path: Path, value: Any) -> None:
    sources, ref = Sources(str(tmp_path)), stored(tmp_path, value)
    item = sources.open(ref)[0]
    item.clear()
    assert sources.open(ref)[0] == value[0]


def test_scalars_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, ref = Sources(str(tmp_path)), stored(tmp_path, [1, 2, 3])
    first = sources.open(ref)
    monkeypatch.setattr(values, "decode", lambda *_: pytest.fail("decoded again"))
    assert sources.open(ref) is first


def test_what_may_be_changed_is_decoded_again_only_when_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, ref = Sources(str(tmp_path)), stored(tmp_path, [[(0,)], [(1,)], [(2,)]])
    decoded: list[int] = []
    real = values.decode

    def count(*given: Any) -> Any:
        decoded.append(1)
        return real(*given)

    monkeypatch.setattr(values, "decode", count)
    for index in range(3):
        assert sources.open(ref)[index] == [(index,)]
    assert len(decoded) == 1
    assert sources.open(ref)[1] == [(1,)]
    assert len(decoded) == 2


def test_another_source_takes_the_place_of_the_kept_one(tmp_path: Path) -> None:
    sources = Sources(str(tmp_path))
    one = values.encode([1], str(tmp_path), "run/a", inline_max_bytes=0)
    other = values.encode([2], str(tmp_path), "run/b", inline_max_bytes=0)
    assert [all_items(sources, ref) for ref in (one, other, one)] == [[1], [2], [1]]


def test_parts_are_opened_when_they_are_needed(tmp_path: Path) -> None:
    good = values.encode([0, 1], str(tmp_path), "run/a", inline_max_bytes=0)
    gone = ValueRef("file", "json", location="run/gone.json", size_bytes=5)
    override = values.encode([(1,)], str(tmp_path), "run/b", inline_max_bytes=0)
    parts = (Part(0, 2, good), Part(3, 5, gone), Part(1, 2, override))
    items = Sources(str(tmp_path)).open(ValueRef("parts", length=5, parts=parts))
    assert [items[0], items[1], items[2]] == [0, (1,), None]


def test_arrays_and_ranges_are_mapped_over() -> None:
    assert as_items(np.arange(3))[1] == 1
    assert as_items(range(3))[2] == 2


@pytest.mark.parametrize("value", [{"a": 1}, "text", 5, None, {1}, np.float64(1)], ids=repr)
def test_what_is_no_list_is_refused(value: Any) -> None:
    with pytest.raises(BadBinding, match="maps over a list"):
        as_items(value)
