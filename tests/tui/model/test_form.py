from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.errors import InvalidInput, Problem
from flowdapt.tui.model.form import Field, faults_of, fields_of, read_fields, read_object

SCHEMA = {
    "properties": {
        "n": {"type": "integer", "default": 3},
        "name": {"type": ["string", "null"]},
        "rate": {"type": "number"},
        "on": {"type": "boolean"},
        "mode": {"enum": ["a", 2, None]},
        "deep": {"type": "object"},
    },
    "required": ["n"],
}


def values(**texts: str) -> dict[str, object]:
    fields = fields_of(SCHEMA, {})
    assert fields is not None
    found, faults = read_fields(fields, texts)
    assert faults == {}
    return found


def test_each_type_is_read_as_what_it_is() -> None:
    typed = {
        "n": " 7 ",
        "name": "12",
        "rate": "1e-3",
        "on": "yes",
        "mode": "2",
        "deep": '{"a": [1]}',
    }
    assert values(**typed) == {"n": 7, "name": "12", "rate": 0.001, "on": True, "mode": 2, "deep": {"a": [1]}}  # fmt: skip


def test_what_is_empty_is_left_out() -> None:
    assert values(n="1", name="", mode="  ") == {"n": 1}


@pytest.mark.parametrize(
    ("name", "text"),
    [("n", ""), ("n", "1.5"), ("rate", "x"), ("on", "perhaps"), ("mode", "b"), ("deep", "{")],
)
def test_what_does_not_fit_is_told_at_its_field(name: str, text: str) -> None:
    fields = fields_of(SCHEMA, {})
    assert fields is not None
    _, faults = read_fields(fields, {"n": "1", name: text})
    assert list(faults) == [name]


def test_the_last_input_stands_in_the_fields_and_else_the_defaults() -> None:
    fields = fields_of(SCHEMA, {"deep": {"a": 1}, "name": "x"})
    assert fields is not None
    assert {field.name: field.value for field in fields if field.value} == {
        "n": "3", "name": "x", "deep": '{"a": 1}',
    }  # fmt: skip


@pytest.mark.parametrize("schema", [None, {}, {"properties": {}}, {"type": "object"}])
def test_a_schema_that_names_nothing_makes_no_form(schema: dict[str, object] | None) -> None:
    assert fields_of(schema, {}) is None


def test_an_input_with_more_than_the_schema_names_is_edited_as_json() -> None:
    assert fields_of(SCHEMA, {"other": 1}) is None


def test_a_refusal_is_told_at_the_field_that_it_names() -> None:
    error = InvalidInput(
        "no", problems=[Problem("x", "too much", ("input", "n")), Problem("x", "odd", ("z",))]
    )
    assert faults_of(error, ["n"]) == {"n": "too much", "": "odd"}
    assert faults_of(InvalidInput("no", fix="do"), ["n"]) == {"": "no   fix: do"}


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=4))
def test_a_whole_input_is_a_json_object(value: dict[str, object]) -> None:
    import json

    assert read_object(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["[1]", "1", "{", '"x"'])
def test_what_is_no_object_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        read_object(text)


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_fault(text: str) -> None:
    for kind in ("text", "integer", "number", "boolean", "choice", "json"):
        field = Field("f", kind, choices=("a",) if kind == "choice" else ())  # type: ignore[arg-type]
        found, faults = read_fields([field], {"f": text})
        assert len(found) + len(faults) <= 1
