"""Decide what parameters of calls may look like; shared by all routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Header, Path, Query
from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from starlette.convertors import Convertor, register_url_convertor

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.executor_names import BACK
from flowdapt.domain.names import Name
from flowdapt.domain.resource import KINDS

__all__ = [
    "Cursor",
    "Executor",
    "Ident",
    "Instant",
    "Key",
    "Kinds",
    "Limit",
    "Pairs",
    "Seconds",
    "Segment",
    "Stage",
    "Text",
    "pairs",
]


def _rfc_3339(value: object) -> object:
    """Let no bare number pass for an instant, as pydantic would."""
    if not isinstance(value, str) or "T" not in value.upper():
        raise ValueError("an instant is written 2026-01-31T12:00:00Z")
    return value


def _name_or_back(value: object, check: ValidatorFunctionWrapHandler) -> object:
    return value if value == BACK else check(value)


Kinds = Literal["workflows", "configs", "triggers"]
Segment = Annotated[Name, Path()]
Executor = Annotated[
    Name,
    WrapValidator(_name_or_back),
    WithJsonSchema({"type": "string", "pattern": "^(-|[A-Za-z0-9][A-Za-z0-9._-]{0,127})$"}),
    Path(description="A name, or `-`: the one before."),
]
Ident = Annotated[Name, Path(description="A name, a uid or a unique prefix.")]
Stage = Annotated[Name, Path(description="The stage's name.")]
Text = Annotated[str | None, Query(max_length=256)]
Cursor = Annotated[str | None, Query(max_length=1024, description="`next` of the page before.")]
Pairs = Annotated[
    list[str], Query(default_factory=list, description="`name=value`; all must match.")
]
Seconds = Annotated[float | None, Query(ge=0, le=1e9, allow_inf_nan=False)]
Limit = Annotated[int, Query(ge=1, le=500)]
Instant = Annotated[AwareDatetime, BeforeValidator(_rfc_3339)]
Key = Annotated[
    str | None,
    Header(
        pattern=r"^[A-Za-z0-9._:-]{1,128}$",
        description="The same key and body name the same run, however often they are sent.",
    ),
]


class _KindsConvertor(Convertor[str]):
    """Let a path begin with one of the kinds, so that every other path stays unknown."""

    regex = "|".join(KINDS)

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("kinds", _KindsConvertor())


def pairs(what: str, given: Sequence[str]) -> dict[str, str]:
    """Return `name=value` parameters as a mapping."""
    found = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not name or not separator:
            raise InvalidInput(
                f"{what}={one[:80]!r} is not name=value", code="request.invalid",
                fix=f"write {what}=name=value",
            )  # fmt: skip
        found[name] = value
    return found
