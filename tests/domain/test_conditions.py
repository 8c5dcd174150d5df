"""The language of conditions: what may be written, what holds, and how it is explained."""

from __future__ import annotations

import subprocess
import sys
import time
from types import MappingProxyType
from typing import Any

import pytest

from flowdapt.domain.condition_findings import MAX_DEPTH, MAX_NODES
from flowdapt.domain.condition_operators import MAX_PATTERN_CHARS, MAX_TEXT_BYTES
from flowdapt.domain.condition_values import MAX_EFFORT
from flowdapt.domain.conditions import Clause, ConditionError, condition_problems, parse_condition

FINISHED = "com.event.workflow.workflow_finished"
EVENT: dict[str, Any] = {
    "id": "e1",
    "type": FINISHED,
    "source": "flowdapt",
    "headers": {},
    "correlation_id": None,
    "data": {
        "workflow": "train",
        "state": "failed",
        "partial": False,
        "result": {
            "loss": 0.75,
            "epochs": 10,
            "label": "10",
            "none": None,
            "cities": ["Oslo", "Rome"],
        },
        "items": [{"loss": 0.25, "tags": ["a"]}, {"loss": 1, "tags": []}],
        "empty": [],
        "a.b": 3,
        "error": {"message": "CUDA out of memory: tried 20 MiB"},
    },
}
ON_FAIL = {
    "and": [
        {"eq": [{"var": "type"}, FINISHED]},
        {"eq": [{"var": "data.workflow"}, "train"]},
        {"eq": [{"var": "data.state"}, "failed"]},
    ]
}


def var(path: str) -> dict[str, str]:
    return {"var": path}


LOSS, LABEL, CITIES, ITEMS = map(
    var, ("data.result.loss", "data.result.label", "data.result.cities", "data.items")
)
GONE, NONE = var("data.gone"), var("data.result.none")


def holds(condition: object, event: Any = EVENT) -> bool:
    return parse_condition(condition).holds(event)


def reason(condition: object) -> str:
    return parse_condition(condition).explain(EVENT).reason or ""


# ---------------------------------------------------------------- the earlier operators


def test_the_rule_of_the_earlier_flowdapt_holds_as_it_did() -> None:
    assert holds(ON_FAIL)
    running = {**EVENT, "data": {**EVENT["data"], "state": "finished"}}
    assert not holds(ON_FAIL, running)


@pytest.mark.parametrize(
    "condition",
    [
        {"eq": [LOSS, 0.75]},
        {"eq": [0.75, LOSS]},
        {"eq": [var("data.result.epochs"), 10.0]},
        {"eq": [LABEL, "10"]},
        {"eq": [var("correlation_id"), None]},
        {"eq": [GONE, None]},
        {"eq": [CITIES, ["Oslo", "Rome"]]},
        {"eq": [CITIES, CITIES]},
        {"eq": [var("data"), var("data")]},
        {"eq": [["train", LOSS], [var("data.workflow"), 0.75]]},
        {"ne": [LOSS, 0.5]},
        {"ne": [GONE, 5]},
        {"ne": [LABEL, 10]},
        {"gt": [LOSS, 0.5]},
        {"gt": [var("data.state"), "a"]},
        {"lt": [LOSS, 1]},
        {"ge": [LOSS, 0.75]},
        {"le": [LOSS, 0.75]},
        {"and": [{"gt": [LOSS, 0]}, {"lt": [LOSS, 1]}]},
        {"and": {"gt": [LOSS, 0]}},
        {"and": [LOSS, CITIES, True]},
        {"or": [{"gt": [LOSS, 1]}, {"lt": [LOSS, 1]}]},
        {"or": [GONE, LABEL]},
        {"not": {"gt": [LOSS, 1]}},
        {"not": [{"gt": [LOSS, 1]}]},
        {"not": var("data.partial")},
        {"not": GONE},
        {"not": var("headers")},
        {"bool": LOSS},
        {"bool": [1]},
        {"eq": [{"gt": [LOSS, 0.5]}, True]},
        {"eq": [{"bool": GONE}, False]},
        LOSS,
        {"var": [["data.gone"][0], 1]},
        {"eq": [{"var": ["data.gone", "x"]}, "x"]},
        {"eq": [{"var": ["data.gone", LOSS]}, 0.75]},
    ],
    ids=str,
)
def test_it_holds(condition: object) -> None:
    assert holds(condition)
    assert parse_condition(condition).explain(EVENT).held


@pytest.mark.parametrize(
    "condition",
    [
        {"and": [{"gt": [LOSS, 0]}, {"gt": [LOSS, 1]}]},
        {"or": [{"gt": [LOSS, 1]}, False]},
        {"not": LOSS},
        {"bool": var("data.empty")},
        {"bool": 0},
        GONE,
        NONE,
        var("data.partial"),
        {"eq": [CITIES, ["Rome", "Oslo"]]},
        {"eq": [var("headers"), []]},
        {"ne": [LOSS, 0.75]},
    ],
    ids=str,
)
def test_it_does_not_hold(condition: object) -> None:
    assert not holds(condition)
    assert not parse_condition(condition).explain(EVENT).held


# ---------------------------------------------------------------- unlike kinds


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"eq": [LABEL, 10]}, "a text and a number are never equal"),
        ({"eq": [var("data.partial"), 0]}, "a boolean and a number are never equal"),
        ({"eq": [var("data.partial"), None]}, "a boolean and a null are never equal"),
        ({"gt": [LABEL, 5]}, "a text and a number have no order"),
        ({"lt": [var("data.partial"), 5]}, "a boolean and a number have no order"),
        ({"ge": [GONE, 5]}, "data.gone is missing; a null and a number have no order"),
        ({"le": [CITIES, 5]}, "a list and a number have no order"),
        ({"gt": [NONE, var("data.empty")]}, "a null and a list have no order"),
        ({"in": ["x", LOSS]}, "a number holds nothing"),
        ({"in": [5, LABEL]}, "a text holds only texts, this is a number"),
        ({"in": [5, var("data")]}, "a mapping holds only texts"),
        ({"contains": [GONE, "x"]}, "a null holds nothing"),
        ({"matches": [LOSS, "0"]}, "a pattern matches texts, this is a number"),
        ({"any": [var("data.result"), True]}, "any looks at a list, data.result is a mapping of 5"),
        ({"all": [GONE, True]}, "all looks at a list, data.gone is null"),
    ],
    ids=str,
)
def test_unlike_kinds_do_not_hold_and_the_reason_says_so(condition: object, words: str) -> None:
    assert not holds(condition)
    assert words in reason(condition)


@pytest.mark.parametrize("word", ["eq", "gt", "lt", "ge", "le"])
@pytest.mark.parametrize(
    ("left", "right"), [("1", 1), (True, 1), (False, 0), (None, 0), (None, "")]
)
def test_values_of_two_kinds_compare_false_whatever_is_asked(
    word: str, left: object, right: object
) -> None:
    event = {"data": {"left": left, "right": right}}
    assert not holds({word: [var("data.left"), var("data.right")]}, event)
    assert not holds({word: [var("data.right"), var("data.left")]}, event)
    assert holds({"ne": [var("data.left"), var("data.right")]}, event)


# ---------------------------------------------------------------- the new operators


@pytest.mark.parametrize(
    ("condition", "held"),
    [
        ({"in": [var("data.workflow"), ["train", "predict"]]}, True),
        ({"in": [var("data.workflow"), ["predict"]]}, False),
        ({"in": ["Oslo", CITIES]}, True),
        ({"in": ["memory", var("data.error.message")]}, True),
        ({"in": ["loss", var("data.result")]}, True),
        ({"in": ["Paris", var("data.result")]}, False),
        ({"in": [True, [1]]}, False),
        ({"in": [1.0, [1]]}, True),
        ({"in": [var("data.workflow"), []]}, False),
        ({"contains": [CITIES, "Rome"]}, True),
        ({"contains": [var("data.error.message"), "CUDA"]}, True),
        ({"contains": [var("data.result"), "epochs"]}, True),
        ({"contains": [CITIES, ["Rome"]]}, False),
        ({"contains": [["a", LABEL], "10"]}, True),
        ({"exists": "data.result.loss"}, True),
        ({"exists": LOSS}, True),
        ({"exists": "data.result.none"}, True),
        ({"exists": ["data.gone"]}, False),
        ({"exists": 'data["a.b"]'}, True),
        ({"exists": "data.a.b"}, False),
        ({"matches": [var("data.error.message"), "CUDA"]}, True),
        ({"matches": [var("data.error.message"), "^out"]}, False),
        ({"matches": [var("data.error.message"), "(?i)^cuda.*[0-9]+ mib$"]}, True),
        ({"matches": [var("data.workflow"), "^tr[äa]in$"]}, True),
        ({"any": [ITEMS, {"gt": [var("item.loss"), 0.5]}]}, True),
        ({"any": [ITEMS, {"gt": [var("item.loss"), 5]}]}, False),
        ({"all": [ITEMS, {"ge": [var("item.loss"), 0.25]}]}, True),
        ({"all": [ITEMS, {"gt": [var("item.loss"), 0.25]}]}, False),
        ({"any": [CITIES, {"eq": [var("item"), "Rome"]}]}, True),
        ({"any": [ITEMS, {"eq": [var("item.loss"), LOSS]}]}, False),
        ({"any": [ITEMS, {"eq": [var("data.workflow"), "train"]}]}, True),
        ({"any": [ITEMS, {"any": [var("item.tags"), {"eq": [var("item"), "a"]}]}]}, True),
        ({"all": [ITEMS, {"any": [var("item.tags"), {"eq": [var("item"), "a"]}]}]}, False),
        ({"any": [["train", "other"], {"eq": [var("item"), var("data.workflow")]}]}, True),
        ({"any": [var("data.empty"), True]}, False),
        ({"all": [var("data.empty"), False]}, True),
        ({"eq": [var("data.items.0.loss"), 0.25]}, True),
        ({"eq": [var("data.items[0].loss"), 0.25]}, True),
        ({"eq": [var("data.items[-1].loss"), 1]}, True),
        ({"eq": [var("data.items[2].loss"), None]}, True),
    ],
    ids=str,
)
def test_new_operators_say(condition: object, held: bool) -> None:
    assert holds(condition) is held
    assert parse_condition(condition).explain(EVENT).held is held


def test_names_of_python_are_only_keys() -> None:
    assert not holds({"exists": "data.__class__"})
    assert not holds({"exists": "__class__.__init__.__globals__"})
    assert not holds({"exists": "data.items.append"})
    assert holds({"exists": "data.__class__"}, {"data": {"__class__": None}})


def test_a_long_text_is_not_matched() -> None:
    condition = parse_condition({"matches": [var("data"), "a"]})
    assert condition.holds({"data": "a" * MAX_TEXT_BYTES})
    assert not condition.holds({"data": "a" * (MAX_TEXT_BYTES + 1)})
    assert not condition.holds({"data": "a" + "ä" * (MAX_TEXT_BYTES // 2)})
    assert "more than 4,096 bytes" in (condition.explain({"data": "a" * 5000}).reason or "")


def test_half_a_surrogate_pair_is_not_matched() -> None:
    condition = parse_condition({"matches": [var("data"), "a"]})
    assert not condition.holds({"data": "a\ud800"})
    assert "surrogate" in (condition.explain({"data": "a\ud800"}).reason or "")


def test_a_pattern_takes_time_in_proportion_to_the_text() -> None:
    condition = parse_condition({"matches": [var("data"), "^(a+)+$"]})
    began = time.perf_counter()
    assert not condition.holds({"data": "a" * (MAX_TEXT_BYTES - 1) + "b"})
    assert not condition.holds({"data": "a" * 50_000 + "b"})
    assert time.perf_counter() - began < 0.5


def test_only_a_rule_with_a_pattern_loads_the_engine() -> None:
    code = (
        "import sys; from flowdapt.domain.conditions import parse_condition as parse;"
        "parse({'eq': [{'var': 'id'}, 1]}).holds({}); before = 're2' in sys.modules;"
        "parse({'matches': [{'var': 'id'}, 'x']}); print(before, 're2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("condition", "code", "loc"),
    [
        (None, "trigger.condition_shape", ()),
        ([ON_FAIL], "trigger.condition_shape", ()),
        ("data.state", "trigger.condition_shape", ()),
        (True, "trigger.condition_shape", ()),
        ({}, "trigger.condition_shape", ()),
        ({"and": [{}]}, "trigger.condition_shape", ("and", 0)),
        ({"eq": [1, 1], "ne": [1, 2]}, "trigger.condition_shape", ()),
        ({"__class__": []}, "trigger.unknown_operator", ("__class__",)),
        ({"and": [{"equal": [1, 1]}]}, "trigger.unknown_operator", ("and", 0, "equal")),
        ({3: []}, "trigger.unknown_operator", ("a number",)),
        ({"eq": [LOSS]}, "trigger.operands", ("eq",)),
        ({"eq": LOSS}, "trigger.operands", ("eq",)),
        ({"eq": [1, 2, 3]}, "trigger.operands", ("eq",)),
        ({"and": []}, "trigger.operands", ("and",)),
        ({"or": []}, "trigger.operands", ("or",)),
        ({"not": [LOSS, LOSS]}, "trigger.operands", ("not",)),
        ({"bool": []}, "trigger.operands", ("bool",)),
        ({"any": [ITEMS]}, "trigger.operands", ("any",)),
        ({"var": []}, "trigger.operands", ("var",)),
        ({"var": ["id", 1, 2]}, "trigger.operands", ("var",)),
        ({"gt": [LOSS, True]}, "trigger.operand_kind", ("gt", 1)),
        ({"gt": [None, LOSS]}, "trigger.operand_kind", ("gt", 0)),
        ({"le": [LOSS, [1]]}, "trigger.operand_kind", ("le", 1)),
        ({"in": [LOSS, 5]}, "trigger.operand_kind", ("in", 1)),
        ({"contains": [5, LOSS]}, "trigger.operand_kind", ("contains", 0)),
        ({"and": ["data.partial", True]}, "trigger.operand_kind", ("and", 0)),
        ({"not": "data.partial"}, "trigger.operand_kind", ("not",)),
        ({"bool": "data.partial"}, "trigger.operand_kind", ("bool",)),
        ({"or": [[ON_FAIL]]}, "trigger.operand_kind", ("or", 0)),
        ({"any": ["data.items", True]}, "trigger.operand_kind", ("any", 0)),
        ({"any": [ITEMS, "item.loss"]}, "trigger.operand_kind", ("any", 1)),
        ({"matches": [LOSS, LABEL]}, "trigger.operand_kind", ("matches", 1)),
        ({"matches": [5, "5"]}, "trigger.operand_kind", ("matches", 0)),
        ({"exists": {"var": ["id", 1]}}, "trigger.operand_kind", ("exists",)),
        ({"exists": 5}, "trigger.operand_kind", ("exists",)),
        ({"matches": [LABEL, "("]}, "trigger.pattern", ("matches", 1)),
        ({"matches": [LABEL, "(a)\\1"]}, "trigger.pattern", ("matches", 1)),
        ({"matches": [LABEL, "(?=a)"]}, "trigger.pattern", ("matches", 1)),
        ({"matches": [LABEL, "((a{100}){100}){100}"]}, "trigger.pattern", ("matches", 1)),
        ({"matches": [LABEL, "a" * (MAX_PATTERN_CHARS + 1)]}, "trigger.pattern", ("matches", 1)),
        ({"matches": [LABEL, "\ud800"]}, "trigger.pattern", ("matches", 1)),
        ({"eq": [LOSS, float("nan")]}, "trigger.constant", ("eq", 1)),
        ({"eq": [LOSS, [float("inf")]]}, "trigger.constant", ("eq", 1, 0)),
        ({"eq": [LOSS, {1}]}, "trigger.constant", ("eq", 1)),
        ({"eq": [{"var": "data..x"}, 1]}, "trigger.path", ("eq", 0, "var")),
        ({"eq": [{"var": 5}, 1]}, "trigger.path", ("eq", 0, "var")),
        ({"var": "." * 10_000}, "trigger.path", ("var",)),
        ({"var": ".".join("a" * 33)}, "trigger.path", ("var",)),
        ({"eq": [var("item.loss"), 1]}, "trigger.path", ("eq", 0, "var")),
        ({"any": [var("item.items"), True]}, "trigger.path", ("any", 0, "var")),
        ({"in": [LOSS, [{"a": 1}]]}, "trigger.unknown_operator", ("in", 1, 0, "a")),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_it_is_refused_at_its_place_with_a_way_out(
    condition: object, code: str, loc: object
) -> None:
    with pytest.raises(ConditionError) as refused:
        parse_condition(condition)
    error = refused.value
    assert (error.exact_code, error.loc) == (code, loc)
    assert error.fix
    assert len(error.message) < 300
    assert condition_problems(condition) == list(error.problems)


@pytest.mark.parametrize(
    ("word", "near"),
    [("equals", "eq"), ("==", "eq"), ("gte", "ge"), ("ad", "and"), ("exist", "exists"), ("some", "any"),
     ("match", "matches"), ("GT", None), (">", "gt"), ("x" * 10_000, None)],
)  # fmt: skip
def test_an_unknown_operator_is_told_with_the_nearest_one(word: str, near: str | None) -> None:
    (problem,) = condition_problems({word: [1, 2]})
    assert problem.suggestion == near
    assert len(problem.message) < 100


def test_places_begin_where_the_condition_stands() -> None:
    with pytest.raises(ConditionError) as refused:
        parse_condition({"and": [{"eq": [1]}]}, at=("spec", "rule"))
    assert refused.value.loc == ("spec", "rule", "and", 0, "eq")


def test_everything_wrong_is_told_at_once() -> None:
    problems = condition_problems(
        {
            "and": [
                {"eq": [1]},
                {"equals": 1},
                {"gt": [True, {"var": "a..b"}]},
                {"or": [{}, "x"]},
                True,
            ]
        }
    )
    assert [(problem.code, problem.loc) for problem in problems] == [
        ("trigger.operands", ("and", 0, "eq")),
        ("trigger.unknown_operator", ("and", 1, "equals")),
        ("trigger.path", ("and", 2, "gt", 1, "var")),
        ("trigger.condition_shape", ("and", 3, "or", 0)),
    ]


def nested(levels: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"exists": "id"}
    for _ in range(levels - 2):
        condition = {"not": condition}
    return condition


def test_a_condition_may_be_as_deep_as_the_limit() -> None:
    assert holds(nested(MAX_DEPTH))
    (problem,) = condition_problems(nested(MAX_DEPTH + 1))
    assert problem.code == "trigger.condition_size"


def test_a_condition_may_be_as_large_as_the_limit() -> None:
    assert holds({"in": [MAX_NODES, list(range(MAX_NODES))[: MAX_NODES - 3]]}) is False
    (problem,) = condition_problems({"in": [1, list(range(MAX_NODES - 2))]})
    assert problem.code == "trigger.condition_size"


@pytest.mark.parametrize(
    "bomb",
    [
        nested(10_000),
        {"and": [{"eq": [1, 1]}] * 1_000_000},
        {"in": [1, list(range(1_000_000))]},
        {"or": [{}] * 1_000_000},
        {str(key): 1 for key in range(100_000)},
        {"var": [[[]] * 1_000_000]},
    ],
    ids=["deep", "wide", "long", "wrong", "keys", "path"],
)
def test_a_bomb_is_refused_at_once(bomb: object) -> None:
    began = time.perf_counter()
    problems = condition_problems(bomb)
    assert time.perf_counter() - began < 0.1
    assert 1 <= len(problems) <= MAX_NODES + 1


# ---------------------------------------------------------------- doubts


@pytest.mark.parametrize(
    ("condition", "code", "near"),
    [
        ({"eq": ["data.state", "failed"]}, "trigger.reads_nothing", None),
        ({"matches": ["data.state", "failed"]}, "trigger.reads_nothing", None),
        ({"eq": [var("workflow"), "train"]}, "trigger.unknown_path", "data.workflow"),
        ({"eq": [var("tpye"), "train"]}, "trigger.unknown_path", "type"),
        (
            {"and": [{"eq": [var("type"), "a"]}, {"eq": [var("type"), "b"]}]},
            "trigger.never_holds",
            None,
        ),
    ],
    ids=str,
)
def test_what_is_hardly_meant_is_doubted(condition: object, code: str, near: str | None) -> None:
    (doubt,) = parse_condition(condition).doubts
    assert (doubt.code, doubt.suggestion) == (code, near)


def test_a_usual_rule_leaves_no_doubt() -> None:
    assert parse_condition(ON_FAIL).doubts == ()
    assert parse_condition({"any": [ITEMS, {"gt": [var("item.loss"), 1]}]}).doubts == ()


# ---------------------------------------------------------------- explanations


def test_an_explanation_shows_each_clause_with_what_it_found() -> None:
    told = parse_condition(
        {
            "and": [
                {"eq": [var("type"), FINISHED]},
                {"gt": [LOSS, 1]},
                {"not": {"exists": "data.gone"}},
            ]
        }
    ).explain(EVENT)
    assert told.model_dump() == {
        "text": "and",
        "held": False,
        "reason": None,
        "children": (
            {
                "text": f'type eq "{FINISHED}"',
                "held": True,
                "reason": f'type is "{FINISHED}"',
                "children": (),
            },
            {
                "text": "data.result.loss gt 1",
                "held": False,
                "reason": "data.result.loss is 0.75",
                "children": (),
            },
            {
                "text": "not",
                "held": True,
                "reason": None,
                "children": (
                    {
                        "text": "exists data.gone",
                        "held": False,
                        "reason": "data.gone is missing",
                        "children": (),
                    },
                ),
            },
        ),
    }


def test_an_explanation_of_a_list_shows_the_element_that_decided() -> None:
    told = parse_condition({"any": [ITEMS, {"gt": [var("item.loss"), 0.5]}]}).explain(EVENT)
    assert (told.text, told.reason) == ("any item of data.items", "item 1 of 2 does")
    assert told.children[0].reason == "item.loss is 1"
    told = parse_condition({"any": [ITEMS, {"gt": [var("item.loss"), 5]}]}).explain(EVENT)
    assert told.reason == "none of 2 items"
    assert told.children[0].reason == "item.loss is 0.25"
    told = parse_condition({"all": [var("data.empty"), True]}).explain(EVENT)
    assert (told.held, told.reason, told.children) == (True, "the list is empty", ())


def test_an_explanation_stays_short() -> None:
    event = {"data": {"x": "y" * 60_000, "n": 10**5000, "l": [0] * 9999}}
    for path in ("data.x", "data.n", "data.l"):
        told = parse_condition({"eq": [var(path), "z" * 5000]}).explain(event)
        assert len(told.text) < 300
        assert len(told.reason or "") < 300


def test_a_clause_survives_json() -> None:
    told = parse_condition(ON_FAIL).explain(EVENT)
    assert Clause.model_validate_json(told.model_dump_json()) == told


# ---------------------------------------------------------------- odd events


def endless() -> dict[str, Any]:
    event: dict[str, Any] = {"type": "x"}
    event["data"] = [event]
    return event


def deep() -> Any:
    data: Any = 1
    for _ in range(sys.getrecursionlimit() * 3):
        data = [data]
    return data


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"data": None},
        {"data": deep(), "other": deep()},
        endless(),
        {"data": float("nan")},
        {"data": object()},
        {"data": {1: 2}, "other": {1: 2}},
        {"data": b"x"},
        {"type": ["x"], "data": {"x": object()}, "other": {"x": object()}},
        MappingProxyType({"data": MappingProxyType({"a": 1})}),
    ],
    ids=[
        "empty",
        "null",
        "deep",
        "endless",
        "nan",
        "object",
        "int keys",
        "bytes",
        "objects",
        "proxy",
    ],
)
@pytest.mark.parametrize(
    "condition",
    [
        {"eq": [var("data"), var("other")]},
        {"eq": [var("data"), var("data")]},
        {"gt": [var("data"), 1]},
        {"in": [var("other"), var("data")]},
        {"matches": [var("data"), "x"]},
        {"any": [var("data"), {"eq": [var("item"), var("other")]}]},
        {"all": [var("data"), {"all": [var("item.data"), var("item.data.0.data.0")]}]},
        {"not": var("data")},
        {"in": [var("type"), ["x"]]},
    ],
    ids=str,
)
def test_no_event_raises(event: Any, condition: object) -> None:
    parsed = parse_condition(condition)
    assert parsed.explain(event).held is parsed.holds(event)


PAIRS = {"any": [var("data"), {"any": [var("data"), {"eq": [var("item"), -1]}]}]}


def test_lists_that_multiply_each_other_end_the_condition() -> None:
    event = {"data": list(range(10_000))}
    for condition in (PAIRS, {"not": PAIRS}, {"or": [PAIRS, True]}):
        began = time.perf_counter()
        assert not holds(condition, event)
        assert time.perf_counter() - began < 1
        told = parse_condition(condition).explain(event)
        assert not told.held
        assert f"{MAX_EFFORT:,}" in (told.reason or "")


def test_what_is_told_only_never_changes_the_outcome() -> None:
    event = {"data": list(range(10_000))}
    parsed = parse_condition({"or": [True, PAIRS, PAIRS]})
    told = parsed.explain(event)
    assert parsed.holds(event)
    assert told.held
    assert [clause.held for clause in told.children] == [True, False, False]


def test_the_longest_list_of_an_event_is_read_whole() -> None:
    event = {"data": [0] * 32_000 + [1]}
    assert holds({"any": [var("data"), {"eq": [var("item"), 1]}]}, event)
    assert holds({"in": [1, var("data")]}, event)


# ---------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("condition", "types"),
    [
        (ON_FAIL, {FINISHED}),
        ({"eq": ["a", var("type")]}, {"a"}),
        ({"in": [var("type"), ["a", "b"]]}, {"a", "b"}),
        ({"contains": [["a", "b"], var("type")]}, {"a", "b"}),
        ({"or": [{"eq": [var("type"), "a"]}, {"eq": [var("type"), "b"]}]}, {"a", "b"}),
        ({"or": [{"eq": [var("type"), "a"]}, LOSS]}, None),
        ({"and": [{"in": [var("type"), ["a", "b"]]}, {"eq": [var("type"), "b"]}, LOSS]}, {"b"}),
        ({"and": [False, LOSS]}, set()),
        ({"bool": {"eq": [var("type"), "a"]}}, {"a"}),
        ({"any": [ITEMS, {"eq": [var("type"), "a"]}]}, {"a"}),
        ({"all": [ITEMS, {"eq": [var("type"), "a"]}]}, None),
        ({"any": [ITEMS, {"eq": [var("item.type"), "a"]}]}, None),
        ({"not": {"eq": [var("type"), "a"]}}, None),
        ({"ne": [var("type"), "a"]}, None),
        ({"in": [var("type"), "a b"]}, None),
        ({"in": [var("type"), ["a", LABEL]]}, None),
        ({"eq": [{"var": ["type", "a"]}, "a"]}, None),
        ({"eq": [var("type"), var("data.type")]}, None),
        ({"matches": [var("type"), "^a$"]}, None),
        (LOSS, None),
    ],
    ids=str,
)
def test_a_condition_knows_the_types_that_it_can_hold_for(condition: object, types: Any) -> None:
    found = parse_condition(condition).types()
    assert found == (None if types is None else frozenset(types))
