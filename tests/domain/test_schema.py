"""Input schemas: sound ones, bombs, and inputs that do not fit."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flowdapt.domain.schema import check_input, schema_faults

SCHEMA = {
    "type": "object",
    "properties": {"cities": {"type": "array", "items": {"type": "string"}}, "n": {"minimum": 1}},
    "required": ["cities"],
    "additionalProperties": False,
}


def test_an_input_that_fits_has_no_problem() -> None:
    assert list(schema_faults(SCHEMA)) == []
    assert check_input(SCHEMA, {"cities": ["Paris"], "n": 2}) == []


def test_every_misfit_is_told_with_its_path() -> None:
    problems = check_input(SCHEMA, {"cities": ["Paris", 3], "n": 0, "x": 1})
    assert {problem.loc for problem in problems} == {
        ("input",),
        ("input", "cities", 1),
        ("input", "n"),
    }
    assert {problem.code for problem in problems} == {"run.bad_input"}


def test_problems_are_bounded_in_number_and_length() -> None:
    problems = check_input(
        {"additionalProperties": {"type": "string"}}, dict.fromkeys("abc" * 9, 1)
    )
    assert problems
    many = check_input({"items": {"type": "string"}}, list(range(10_000)))
    assert len(many) == 20
    (long,) = check_input({"type": "integer"}, "x" * 100_000)
    assert len(long.message) <= 301


def test_format_and_default_change_nothing() -> None:
    value: dict[str, Any] = {}
    assert check_input({"properties": {"a": {"default": 1, "format": "email"}}}, value) == []
    assert value == {}
    assert check_input({"format": "email"}, "nobody") == []


@pytest.mark.parametrize(
    ("schema", "loc"),
    [
        ({"type": "objec"}, ("type",)),
        ({"properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum")),
        ({"$ref": "http://127.0.0.1:1/schema"}, ("$ref",)),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, ("properties", "a", "$ref")),
        ({"$id": "http://example.org/x", "type": "object"}, ("$id",)),
        ({"pattern": "("}, ()),
        ({"$ref": "#/$defs/none"}, ()),
    ],
)
def test_a_schema_that_cannot_be_used_is_told_where(schema: Any, loc: tuple[str, ...]) -> None:
    ((found, _), *_) = schema_faults(schema)
    assert found[: len(loc)] == loc


def test_a_pattern_is_linear_in_its_text() -> None:
    began = time.perf_counter()
    assert check_input({"pattern": "^(a+)+$"}, "a" * 50_000 + "b")
    assert time.perf_counter() - began < 0.5


def test_references_that_multiply_are_refused() -> None:
    doubling: dict[str, Any] = {
        f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}, {"$ref": f"#/$defs/a{i + 1}"}]}
        for i in range(40)
    }
    doubling["a40"] = {"type": "object"}
    ((_, message),) = schema_faults({"$defs": doubling, "$ref": "#/$defs/a0"})
    assert "more than 10000 times" in message


def test_a_long_chain_of_references_is_refused() -> None:
    chain: dict[str, Any] = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(5000)}
    assert list(schema_faults({"$defs": chain, "$ref": "#/$defs/a0"}))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"next": {"$ref": "#"}}, "required": ["value"]},
        {"$defs": {"t": {"items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"},
    ],
)
def test_a_schema_may_refer_to_itself(schema: Any) -> None:
    assert list(schema_faults(schema)) == []
    nested: Any = {"value": 1}
    for _ in range(60):
        nested = {"value": 1, "next": nested}
    assert check_input(schema, nested) == []
