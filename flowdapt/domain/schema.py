"""Decide whether an input fits a workflow's JSON Schema (2020-12), and whether the schema is sound.

Patterns run on a linear-time engine, nothing is fetched, `format` and `default` are notes for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

from flowdapt.domain.errors import Problem
from flowdapt.domain.positions import Loc
from flowdapt.domain.resource import canonical

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["check_input", "schema_faults"]

_MAX_PROBLEMS = 20
_MAX_VISITS = 10_000
_MAX_CHAIN = 100
_MESSAGE_MAX_CHARS = 300
_POSITION = re.compile("[0-9]{1,6}")
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")


def schema_faults(schema: Mapping[str, Any]) -> Iterator[tuple[Loc, str]]:
    """Yield where and why a schema cannot be used; nothing for a sound one."""
    remote = list(_remote_references(schema, ()))
    if remote:
        yield from (
            (loc, "a schema may refer to itself only (`#/…`): nothing is fetched") for loc in remote
        )
        return
    if _visits(schema) > _MAX_VISITS:
        yield (), f"one value would be looked at more than {_MAX_VISITS} times"
        return
    from jsonschema_rs import ValidationError

    try:
        _compiled(canonical(schema))
    except ValidationError as error:
        yield tuple(error.instance_path), _message(error)


def check_input(schema: Mapping[str, Any], value: object) -> list[Problem]:
    """Return what is wrong with an input, by path; empty when it fits. The schema is sound."""
    validator = _compiled(canonical(schema))
    if validator.is_valid(value):
        return []
    errors = islice(validator.iter_errors(value), _MAX_PROBLEMS)
    return [
        Problem(
            "run.bad_input",
            _message(error),
            ("input", *error.instance_path),
            fix="give a value that fits the input_schema",
        )
        for error in errors
    ]


@lru_cache(maxsize=256)
def _compiled(schema: str) -> jsonschema_rs.Draft202012Validator:
    import json

    from jsonschema_rs import Draft202012Validator, RegexOptions

    return Draft202012Validator(
        json.loads(schema),
        validate_formats=False,
        retriever=_fetch_nothing,
        pattern_options=RegexOptions(),
    )


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not fetched")


def _message(error: jsonschema_rs.ValidationError) -> str:
    text = error.message
    return text if len(text) <= _MESSAGE_MAX_CHARS else f"{text[:_MESSAGE_MAX_CHARS]}…"


def _remote_references(value: Any, loc: Loc) -> Iterator[Loc]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key in ("$ref", "$dynamicRef", "$id") and isinstance(below, str):
                if not below.startswith("#"):
                    yield (*loc, key)
            elif key not in ("const", "enum", "default", "examples"):
                yield from _remote_references(below, (*loc, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _remote_references(below, (*loc, index))


def _visits(schema: Mapping[str, Any]) -> int:
    """Count how often one value is looked at: references that multiply each other grow fast.

    A reference back to what is being counted costs nothing; a chain of a hundred is one too many.
    """
    counted: dict[int, int] = {}

    def count(part: Any, depth: int) -> int:
        if not isinstance(part, Mapping) or depth > _MAX_CHAIN:
            return 0 if depth <= _MAX_CHAIN else _MAX_VISITS
        if id(part) not in counted:
            counted[id(part)] = 0
            below = sum(count(inner, depth + 1) for inner in _in_place(schema, part))
            counted[id(part)] = 1 + min(below, _MAX_VISITS)
        return counted[id(part)]

    return max((count(part, 0) for part in _schemas(schema)), default=0)


def _in_place(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas that look at the same value as this one."""
    for word in ("$ref", "$dynamicRef"):
        if isinstance(part.get(word), str):
            yield _at_pointer(schema, part[word])
    for word in _IN_PLACE:
        below = part.get(word)
        yield from below if isinstance(below, list) else [below]
    dependent = part.get("dependentSchemas")
    yield from dependent.values() if isinstance(dependent, Mapping) else ()


def _schemas(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for below in value.values():
            yield from _schemas(below)
    elif isinstance(value, list):
        for below in value:
            yield from _schemas(below)


def _at_pointer(schema: Any, reference: str) -> Any:
    part = schema
    for step in unquote(reference).removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, Mapping):
            part = part.get(key)
        elif isinstance(part, list):
            part = dict(enumerate(part)).get(int(key)) if _POSITION.fullmatch(key) else None
    return part
