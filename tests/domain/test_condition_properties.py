"""What is true of all conditions and all events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowdapt.domain.condition_operators import WORDS
from flowdapt.domain.conditions import ConditionError, condition_problems, parse_condition

EVENT = {"id": "e1", "type": "a", "data": {"a": [1, {"b": None}], "b": "1"}}


def var(path: str) -> dict[str, str]:
    return {"var": path}


def holds(condition: object, event: Any) -> bool:
    return parse_condition(condition).holds(event)


KEYS = st.sampled_from(["id", "type", "data", "a", "b", "loss", "0", "item", "__class__"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([10**400, -(10**400), 0.5, 1e308]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "b", "1", "com.x"]),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=4),
    max_leaves=12,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["a", "b"]) | SCALARS,
        "data": VALUES,
        "id": SCALARS,
        "a": VALUES,
    },
)
PATHS = st.lists(KEYS.filter(lambda key: key != "item"), min_size=1, max_size=3).map(".".join)
LISTS_OF_PLAIN = st.lists(SCALARS, max_size=3)


def _operands(inside: bool) -> st.SearchStrategy[Any]:
    paths = PATHS | st.sampled_from(["item", "item.a", "item.loss"]) if inside else PATHS
    variables = st.builds(lambda path: {"var": path}, paths)
    return variables | variables | SCALARS | LISTS_OF_PLAIN


def _conditions(levels: int, inside: bool) -> st.SearchStrategy[Any]:
    operands = _operands(inside)
    paths = st.builds(lambda path: {"var": path}, PATHS)
    patterns = st.sampled_from(["a", "^b$", "[0-9]+", ""])
    simple = st.one_of(
        st.booleans(),
        paths,
        *(
            st.tuples(operands, operands).map(lambda pair, w=word: {w: list(pair)})
            for word in ("eq", "ne")
        ),
        st.tuples(st.sampled_from(["gt", "lt", "ge", "le"]), paths, paths).map(_of_word),
        st.tuples(st.sampled_from(["gt", "lt", "ge", "le"]), paths, st.integers(-2, 2)).map(
            _of_word
        ),
        st.tuples(st.just("in"), operands, LISTS_OF_PLAIN | paths).map(_of_word),
        st.tuples(st.just("contains"), LISTS_OF_PLAIN | paths, operands).map(_of_word),
        st.tuples(st.just("matches"), paths, patterns).map(_of_word),
        PATHS.map(lambda path: {"exists": path}),
    )
    if not levels:
        return simple
    below = st.deferred(lambda: _conditions(levels - 1, inside))
    asked = st.deferred(lambda: _conditions(levels - 1, True))
    return st.one_of(
        simple,
        st.tuples(st.sampled_from(["and", "or"]), st.lists(below, min_size=1, max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        ),
        below.map(lambda one: {"not": one}),
        below.map(lambda one: {"bool": one}),
        st.tuples(st.sampled_from(["any", "all"]), LISTS_OF_PLAIN | paths, asked).map(_of_word),
    )


def _of_word(parts: tuple[str, Any, Any]) -> dict[str, Any]:
    return {parts[0]: [parts[1], parts[2]]}


CONDITIONS = _conditions(3, False).filter(lambda condition: isinstance(condition, dict))


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, EVENTS)
def test_a_condition_and_its_explanation_agree(condition: Any, event: Any) -> None:
    parsed = parse_condition(condition)
    held = parsed.holds(event)
    assert parsed.explain(event).held is held
    types = parsed.types()
    assert not held or types is None or event.get("type") in types


@settings(deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=4), EVENTS)
def test_de_morgan_holds(parts: list[Any], event: Any) -> None:
    negated = [{"not": part} for part in parts]
    assert holds({"not": {"and": parts}}, event) is holds({"or": negated}, event)
    assert holds({"not": {"or": parts}}, event) is holds({"and": negated}, event)


@settings(deadline=None)
@given(LISTS_OF_PLAIN, _conditions(2, True), EVENTS)
def test_de_morgan_holds_of_lists(elements: list[Any], asked: Any, event: Any) -> None:
    some = {"any": [elements, {"not": asked}]}
    assert holds({"not": {"all": [elements, asked]}}, event) is holds(some, event)


@settings(deadline=None)
@given(_operands(False), _operands(False), EVENTS)
def test_ne_is_the_opposite_of_eq_and_both_know_no_sides(left: Any, right: Any, event: Any) -> None:
    equal = holds({"eq": [left, right]}, event)
    assert holds({"ne": [left, right]}, event) is not equal
    assert holds({"eq": [right, left]}, event) is equal
    assert holds({"contains": [[left], right]}, event) is equal


@settings(deadline=None)
@given(EVENTS)
def test_an_order_has_two_directions(event: Any) -> None:
    one, other = var("data"), var("a")
    assert holds({"gt": [one, other]}, event) is holds({"lt": [other, one]}, event)
    both = {"and": [{"ge": [one, other]}, {"le": [one, other]}]}
    assert not holds(both, event) or holds({"eq": [one, other]}, event)


WORDS_AND_OTHERS = st.sampled_from([*WORDS, "equals", "", "__class__"]) | st.text(max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | PATHS,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(WORDS_AND_OTHERS, below, max_size=2)
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON | st.dictionaries(WORDS_AND_OTHERS, JSON, min_size=1, max_size=1))
def test_any_json_is_a_condition_or_refused(value: Any) -> None:
    problems = condition_problems(value)
    if not problems:
        parsed = parse_condition(value)
        assert parsed.explain(EVENT).held is parsed.holds(EVENT)
        return
    with pytest.raises(ConditionError) as refused:
        parse_condition(value)
    assert list(refused.value.problems) == problems
