"""Values of an event in the parameters of an action."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.event_path import MAX_CHARS, MAX_PARTS, MISSING, BadPath, parse_path
from flowdapt.domain.event_values import MAX_REFERENCES, ValueMissing, fill, value_problems
from flowdapt.domain.events import WORKFLOW_FINISHED, Event
from flowdapt.domain.seen_event import FIELDS, seen_event

EVENT = {
    "type": "model.trained",
    "data": {
        "result": {"loss": 0.25, "cities": ["Oslo", {"name": "Rome"}], "nothing": None},
        "a.b": {"odd key": 1},
        "0": "zero",
    },
}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(st.text(max_size=5).filter(lambda key: key != "var"), below, max_size=4)
    ),
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.result.loss", 0.25),
        ("data.result.cities.0", "Oslo"),
        ("data.result.cities[0]", "Oslo"),
        ("data.result.cities[1].name", "Rome"),
        ("data.result.cities[-1].name", "Rome"),
        ('data["a.b"]["odd key"]', 1),
        ("data['a.b']['odd key']", 1),
        ("data.0", "zero"),
        ("data[0]", "zero"),
        ("data.result.nothing", None),
        ("data.result.cities[2]", MISSING),
        ("data.result.cities[-3]", MISSING),
        ("data.result.cities.name", MISSING),
        ("data.result.loss.real", MISSING),
        ("type.0", MISSING),
        ("data.__class__", MISSING),
        ("__class__.__mro__", MISSING),
        ("data.items", MISSING),
    ],
)
def test_a_path_leads_through_keys_and_positions_only(path: str, value: object) -> None:
    assert parse_path(path).find(EVENT) == value


@pytest.mark.parametrize(
    "path",
    ["", ".", ".a", "a.", "a..b", "a b", " a", "a[", "a[]", "a[x]", "a]", 'a["b]', "[0]", "a[1.5]",
     "a[1234567]", "x" * (MAX_CHARS + 1), ".".join("a" * (MAX_PARTS + 1)), "." * 10_000, None, 3, ["a"],
     {"a": 1}],
)  # fmt: skip
def test_what_is_no_path_is_refused_with_a_way_out(path: object) -> None:
    with pytest.raises(BadPath) as refused:
        parse_path(path)
    assert refused.value.fix
    assert len(refused.value.message) < 300


def test_a_path_may_be_as_long_as_the_limits_say() -> None:
    assert len(parse_path(".".join("a" * MAX_PARTS)).parts) == MAX_PARTS
    assert parse_path("x" * MAX_CHARS).parts == ("x" * MAX_CHARS,)


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = parse_path(text)
    except BadPath:
        return
    assert 1 <= len(path.parts) <= MAX_PARTS
    assert path.find({}) is MISSING


def test_values_of_the_event_stand_where_they_are_named() -> None:
    parameters = {
        "workflow": "predict",
        "input": {
            "loss": {"var": "data.result.loss"},
            "all": [{"var": ["type"]}, {"var": "data.0"}],
        },
    }
    assert fill(parameters, EVENT) == {
        "workflow": "predict",
        "input": {"loss": 0.25, "all": ["model.trained", "zero"]},
    }


def test_a_default_stands_in_for_what_the_event_has_not() -> None:
    assert fill({"var": ["data.missing", 7]}, EVENT) == 7
    assert fill({"var": ["data.missing", None]}, EVENT) is None
    assert fill({"var": ["data.missing", {"var": "type"}]}, EVENT) == "model.trained"
    assert fill({"var": ["data.missing", {"a": [{"var": "type"}]}]}, EVENT) == {
        "a": ["model.trained"]
    }


def test_null_in_the_event_is_a_value() -> None:
    assert fill({"var": ["data.result.nothing", 7]}, EVENT) is None


def test_a_missing_value_is_told_with_its_path_and_place() -> None:
    with pytest.raises(ValueMissing) as missing:
        fill({"input": [1, {"x": {"var": "data.accuracy"}}]}, EVENT)
    assert missing.value.path == "data.accuracy"
    assert missing.value.loc == ("input", 1, "x")
    assert missing.value.exact_code == "trigger.value_missing"
    assert "data.accuracy" in missing.value.message


def test_a_mapping_with_other_keys_beside_var_is_plain() -> None:
    plain = {"var": "data.result.loss", "unit": "m"}
    assert fill({"input": plain}, EVENT) == {"input": plain}
    assert value_problems({"input": plain}) == []


def test_what_an_event_holds_is_not_filled_again() -> None:
    event = {"data": {"note": {"var": "id"}, "text": "{{secret}}"}, "id": "1"}
    assert fill({"x": {"var": "data.note"}}, event) == {"x": {"var": "id"}}
    assert fill({"x": {"var": "data.text"}}, event) == {"x": "{{secret}}"}


@given(PLAIN)
def test_parameters_without_var_stay_as_they_are(parameters: Any) -> None:
    assert fill(parameters, EVENT) == parameters
    assert value_problems(parameters) == []


@pytest.mark.parametrize("wrong", [3, None, "", "a..b", [], ["a", 1, 2], [3], {"var": "id"}])
def test_a_wrong_reference_is_told_at_its_place(wrong: object) -> None:
    parameters = {"input": [{"var": wrong}]}
    problem = value_problems(parameters, at=("spec",))[0]
    assert problem.code == "trigger.value"
    assert problem.loc[:4] == ("spec", "input", 0, "var")
    assert problem.fix
    with pytest.raises(InvalidInput):
        fill(parameters, EVENT)


def test_every_wrong_reference_is_told_also_in_a_default() -> None:
    parameters = {"a": {"var": ""}, "b": {"var": ["id", {"var": "."}]}, "c": {"var": "id"}}
    assert [problem.loc for problem in value_problems(parameters)] == [
        ("a", "var"),
        ("b", "var", 1, "var"),
    ]


def test_an_action_reads_a_bounded_number_of_values() -> None:
    assert value_problems([{"var": "id"}] * MAX_REFERENCES) == []
    (problem,) = value_problems([{"var": "id"}] * (MAX_REFERENCES + 1))
    assert problem.code == "trigger.too_many_values"


def _finished(**fields: Any) -> Event:
    return Event(
        **{
            "cursor": 9, "id": "e1", "time": datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC), "source": "flowdapt",
            "type": WORKFLOW_FINISHED, "subject": "run/u1", "run": "u1", "seq": 4, "correlation_id": "u1",
            "data": {"state": "finished"}, **fields,
        }
    )  # fmt: skip


def test_an_event_is_seen_in_the_earlier_fields_and_ours() -> None:
    assert seen_event(_finished(causation_depth=2)) == {
        "id": "e1", "time": "2026-03-01T04:05:06Z", "headers": {}, "correlation_id": "u1",
        "channel": "workflows", "source": "flowdapt", "type": WORKFLOW_FINISHED,
        "data": {"state": "finished"}, "subject": "run/u1", "run": "u1", "seq": 4, "causation_depth": 2,
    }  # fmt: skip
    assert tuple(seen_event(_finished())) == FIELDS


@pytest.mark.parametrize(
    ("kind", "channel"),
    [
        ("com.event.workflow.stage_finished", "workflows"),
        ("com.event.resource.applied", "resources"),
        ("com.event.trigger.fired", "triggers"),
        ("com.event.workflow", "workflows"),
        ("com.event.other.x", "events"),
        ("workflow.mine", "events"),
        ("", "events"),
    ],
)
def test_the_channel_follows_from_the_type(kind: str, channel: str) -> None:
    assert seen_event(_finished(type=kind))["channel"] == channel


def test_the_time_of_an_event_is_told_in_utc() -> None:
    later = datetime(2026, 3, 1, 4, 5, 6, 70, tzinfo=UTC) + timedelta(hours=1)
    assert seen_event(_finished(time=later))["time"] == "2026-03-01T05:05:06.000070Z"
