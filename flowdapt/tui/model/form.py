"""Decide what a form asks for, made from a JSON Schema, and what the typed texts mean. No schema: JSON as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from flowdapt.domain.display import json_text
from flowdapt.domain.errors import FlowdaptError

__all__ = ["Field", "faults_of", "fields_of", "read_fields", "read_object", "shown"]

Kind = Literal["text", "integer", "number", "boolean", "choice", "json"]
_SIMPLE: Mapping[str, Kind] = {
    "string": "text", "integer": "integer", "number": "number", "boolean": "boolean",
}  # fmt: skip
_TRUE, _FALSE = {"true", "yes", "y", "on", "1"}, {"false", "no", "n", "off", "0"}


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a form. `value` is the text that stands there at first; `choices` are what it may be."""

    name: str
    kind: Kind = "text"
    required: bool = False
    value: str = ""
    about: str = ""
    choices: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        """Return in words what may be typed."""
        if self.choices:
            return " | ".join(self.choices)
        words = {"text": "", "json": "JSON", "boolean": "true | false"}
        return words.get(self.kind, self.kind)


def fields_of(schema: Mapping[str, Any] | None, given: Mapping[str, Any]) -> list[Field] | None:
    """Return the fields of an input; None when a schema does not say them all.

    What was given the last time stands in them, else the schema's defaults.
    """
    properties = (schema or {}).get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return None
    required = set((schema or {}).get("required") or ())
    if set(given) - set(properties):
        return None
    return [
        _field(name, part if isinstance(part, Mapping) else {}, name in required, given)
        for name, part in properties.items()
    ]


def _field(name: str, part: Mapping[str, Any], required: bool, given: Mapping[str, Any]) -> Field:
    made = Field(name, _kind(part), required, about=str(part.get("description") or ""))
    if isinstance(part.get("enum"), list):
        made = replace(made, kind="choice", choices=tuple(map(shown, part["enum"])))
    value = given.get(name, part.get("default"))
    return made if value is None else replace(made, value=_text(value, made.kind))


def _kind(part: Mapping[str, Any]) -> Kind:
    types = part.get("type")
    names = [types] if isinstance(types, str) else [one for one in types or () if one != "null"]
    return _SIMPLE.get(names[0], "json") if len(names) == 1 else "json"


def shown(value: Any) -> str:
    """Return a value as it is typed: a text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def _text(value: Any, kind: Kind) -> str:
    return json_text(value) if kind == "json" else shown(value)


def read_fields(
    fields: Iterable[Field], texts: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values, and what is wrong, both by field. A field that is empty is left out."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for field in fields:
        text = texts.get(field.name, "")
        if not text.strip():
            if field.required:
                faults[field.name] = "it is required"
            continue
        try:
            values[field.name] = _value(field, text)
        except ValueError as error:
            faults[field.name] = str(error)
    return values, faults


def _value(field: Field, text: str) -> Any:
    if field.kind == "text":
        return text
    text = text.strip()
    if field.kind == "choice":
        if text not in field.choices:
            raise ValueError(f"one of {', '.join(field.choices)}")
        return _loose(text)
    if field.kind == "boolean":
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("true or false")
        return text.lower() in _TRUE
    if field.kind == "json":
        return _json(text)
    try:
        return int(text) if field.kind == "integer" else float(text)
    except ValueError:
        raise ValueError("a whole number" if field.kind == "integer" else "a number") from None


def _loose(text: str) -> Any:
    """Return a choice as it was in the schema: JSON where it is, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def read_object(text: str) -> dict[str, Any]:
    """Return a whole input that was typed as JSON; raise ValueError in words."""
    value = _json(text) if text.strip() else {}
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - what was typed is wrong, not our code
            'the input is a JSON object: {"name": value}'
        )
    return value


def faults_of(error: FlowdaptError, names: Sequence[str]) -> dict[str, str]:
    """Return what the daemon refused, by field where it names one; under "" what it does not."""
    faults: dict[str, str] = {}
    for problem in getattr(error, "problems", ()) or ():
        name = next((str(one) for one in problem.loc if str(one) in names), "")
        faults[name] = "; ".join(filter(None, [faults.get(name), problem.message]))
    if not faults:
        faults[""] = error.message + (f"   fix: {error.fix}" if error.fix else "")
    return faults
