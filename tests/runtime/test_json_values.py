"""What is JSON exactly comes back equal and of the same types; everything else is left to pickle."""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from flowdapt.runtime import json_values
from flowdapt.runtime.json_values import find_json


class Number(int):
    pass


class Text(str):
    __slots__ = ()


class Colour(enum.IntEnum):
    RED = 1


@dataclass
class Point:
    x: int


scalars = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text()
)
documents = some.recursive(
    scalars,
    lambda inner: some.lists(inner, max_size=5) | some.dictionaries(some.text(), inner, max_size=5),
    max_leaves=30,
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types, in the same order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return bool(one == other)


@given(documents)
def test_what_is_written_comes_back_the_same(value: Any) -> None:
    text = find_json(value)
    assert text is not None
    assert same(msgspec.json.decode(text), value)


OTHERS = [
    (1, 2),
    {1, 2},
    b"bytes",
    Number(3),
    Text("x"),
    Colour.RED,
    math.nan,
    math.inf,
    -math.inf,
    1j,
    {1: "a"},
    {None: 1},
    {Text("k"): 1},
    OrderedDict(a=1),
    Point(1),
    datetime(2026, 1, 1, tzinfo=UTC),
    np.float64(1.5),
    np.int64(1),
    np.bool_(True),
    np.zeros(3),
    "\ud800",
    range(3),
    object(),
]


@pytest.mark.parametrize("value", OTHERS, ids=repr)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [1, v], lambda v: {"a": [{"b": v}]}])
def test_what_would_change_is_left_alone(value: Any, wrap: Any) -> None:
    assert find_json(wrap(value)) is None


def test_floats_whose_sum_overflows_are_still_finite() -> None:
    assert find_json([1.7e308, 1.7e308]) is not None
    assert find_json([math.inf, -math.inf]) is None


def test_a_value_of_depth_64_is_json_and_a_deeper_one_is_not() -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth - 1):
            value = [value]
        return value

    assert find_json(nested(64)) is not None
    assert find_json(nested(65)) is None
    assert find_json([[], {}]) == b"[[],{}]"


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert find_json(endless) is None


def test_a_list_that_explodes_as_text_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_values, "NODES_MAX", 1000)
    value: list[Any] = [1]
    for _ in range(20):
        value = [value, value]
    assert find_json(value) is None
