"""Decide what `explain KIND[.field]` says: fields, types, defaults and words, from the models."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flowdapt.domain.config import ConfigSpec
from flowdapt.domain.errors import NotFound
from flowdapt.domain.quantities import DurationS, SizeBytes
from flowdapt.domain.resource import Kind, Metadata, canonical, kind_named
from flowdapt.domain.trigger import TriggerRuleSpec
from flowdapt.domain.workflow import WorkflowSpec

__all__ = ["SPECS", "Explanation", "FieldExplanation", "explain", "models_at"]

SPECS: dict[Kind, type[BaseModel]] = {
    "workflow": WorkflowSpec,
    "config": ConfigSpec,
    "trigger_rule": TriggerRuleSpec,
}
_WORDS = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "Any": "any value",
}


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """One field of a document. `default` is JSON text, or None where there is none."""

    name: str
    type: str
    required: bool
    default: str | None
    description: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stands at one path of a kind's documents."""

    kind: Kind
    path: tuple[str, ...]
    type: str
    description: str
    fields: tuple[FieldExplanation, ...]


def explain(path: str) -> Explanation:
    """Explain `workflow`, `workflow.spec.stages.retry`, …; raise NotFound with a suggestion.

    `spec.` may be left out.
    """
    word, *steps = path.split(".")
    kind = kind_named(word)
    if kind is None:
        raise NotFound(f"there is no kind {word[:100]!r}", fix=f"kinds are {', '.join(SPECS)}")
    if steps and steps[0] not in _document(kind).model_fields:
        steps = ["spec", *steps]
    at: Any = _document(kind)
    description = (SPECS[kind].__doc__ or "").strip()
    for step in steps:
        field = _field(at, step, path)
        at, description = field.rebuild_annotation(), field.description or ""
    fields = dict.fromkeys(field for model in _models(at) for field in _explained(model))
    return Explanation(kind, tuple(steps), _type_words(at), description, tuple(fields))


def models_at(model: type[BaseModel], steps: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the models that may stand at a path below `model`; list positions are passed over."""
    found = [model]
    for step in steps:
        if isinstance(step, str):
            fields = [m.model_fields[step] for m in found if step in m.model_fields]
            found = [below for field in fields for below in _models(field.annotation)]
    return found


def _document(kind: Kind) -> type[BaseModel]:
    return create_model(
        "Document",
        kind=(str, Field(description="What the document is.")),
        metadata=(Metadata, Field(description="Its name, and annotations that selectors look at.")),
        spec=(SPECS[kind], Field(description="What it says.")),
    )


def _field(at: Any, step: str, path: str) -> FieldInfo:
    names: list[str] = []
    for model in _models(at):
        names += model.model_fields
        if step in model.model_fields:
            return model.model_fields[step]
    near = get_close_matches(step, names, 1)
    fix = f"did you mean {near[0]!r}?" if near else f"fields there: {', '.join(names) or 'none'}"
    raise NotFound(f"{path[:200]!r}: there is no field {step[:100]!r}", fix=fix)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not dict:
        for inner in get_args(annotation):
            yield from _models(inner)


def _explained(model: type[BaseModel]) -> tuple[FieldExplanation, ...]:
    return tuple(
        FieldExplanation(
            name=name,
            type=_type_words(field.rebuild_annotation()),
            required=field.is_required(),
            default=_default(field),
            description=field.description or "",
        )
        for name, field in model.model_fields.items()
    )


def _default(field: FieldInfo) -> str | None:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value is None:
        return None
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    return canonical(list(value) if isinstance(value, tuple) else value)


def _type_words(annotation: Any) -> str:
    if annotation in (DurationS, SizeBytes):
        return "duration" if annotation == DurationS else "size"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        words = dict.fromkeys(_type_words(arg) for arg in args if arg is not type(None))
        return " or ".join(words)
    if origin is Literal:
        return ", ".join(str(arg) for arg in args)
    if origin is tuple:
        return f"list of {_type_words(args[0])}"
    if origin is dict or annotation is dict:
        return "mapping"
    if origin is not None and args:
        return _type_words(args[0])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(str(member.value) for member in annotation)
    name = getattr(annotation, "__name__", "any value")
    return _WORDS.get(name, "mapping" if list(_models(annotation)) else name)
