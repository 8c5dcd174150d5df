"""Which config reaches which workflow, and what wins."""

from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from flowdapt.domain.config import ConfigSpec, merge, merged_in_depth


def config(selector: object, **data: object) -> ConfigSpec:
    return ConfigSpec.model_validate({"selector": selector, "data": data})


def by_name(name: str, **data: object) -> ConfigSpec:
    return config({"type": "name", "value": name}, **data)


def by_annotation(value: dict[str, object], **data: object) -> ConfigSpec:
    return config({"type": "annotation", "value": value}, **data)


def test_all_annotations_of_a_selector_must_match() -> None:
    both = by_annotation({"group": "nowcast", "stage": "prod"}, got=True)
    assert merge("w", {"group": "nowcast"}, [("c", both)]) == {}
    assert merge("w", {"group": "nowcast", "stage": "prod", "x": 1}, [("c", both)]) == {"got": True}


def test_true_is_not_one_in_an_annotation() -> None:
    assert merge("w", {"gpu": 1}, [("c", by_annotation({"gpu": True}, got=1))]) == {}


def test_a_name_beats_an_annotation_whatever_the_order() -> None:
    configs = [
        ("z_general", by_annotation({"group": "a"}, level=1)),
        ("a_special", by_name("w", level=2)),
        ("m_all", config({"type": "all"}, level=0, everywhere=True)),
    ]
    for order in itertools.permutations(configs):
        assert merge("w", {"group": "a"}, order) == {"level": 2, "everywhere": True}


def test_more_annotations_beat_fewer() -> None:
    narrow = by_annotation({"group": "a", "site": "b"}, level="narrow")
    wide = by_annotation({"group": "a"}, level="wide")
    configs = [("a", narrow), ("z", wide)]
    assert merge("w", {"group": "a", "site": "b"}, configs) == {"level": "narrow"}


def test_of_equals_the_later_name_wins() -> None:
    configs = [("b", by_name("w", level="b")), ("a", by_name("w", level="a"))]
    assert merge("w", {}, configs) == {"level": "b"}


def test_mappings_merge_in_depth_and_lists_are_replaced() -> None:
    base = {"model": {"trees": 100, "depth": {"max": 3}}, "cities": ["a", "b"], "x": {"y": 1}}
    over = {"model": {"depth": {"min": 1}}, "cities": ["c"], "x": None}
    assert merged_in_depth(base, over) == {
        "model": {"trees": 100, "depth": {"max": 3, "min": 1}},
        "cities": ["c"],
        "x": None,
    }


def test_merging_changes_neither_side() -> None:
    base, over = {"a": {"b": 1}}, {"a": {"c": 2}}
    merged = merged_in_depth(base, over)
    merged["a"]["b"] = 9
    assert (base, over) == ({"a": {"b": 1}}, {"a": {"c": 2}})


@pytest.mark.parametrize(
    "selector",
    [
        {"type": "annotation", "value": {}},
        {"type": "annotation", "value": "x"},
        {"type": "name", "value": "../x"},
        {"type": "regex", "value": "x"},
        {"value": "x"},
        None,
    ],
)
def test_a_selector_that_means_nothing_is_refused(selector: object) -> None:
    with pytest.raises(ValidationError):
        config(selector)
