"""Decide how request bodies become values: strict JSON of the right type, then the call's model.

What odd JSON is, `domain/json_reading.py` knows; whether the value makes sense, the services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from flowdapt.api.problems import HttpProblem, invalid_request
from flowdapt.domain import json_reading
from flowdapt.domain.errors import FlowdaptError, InvalidInput
from flowdapt.domain.positions import TextProblem

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["JSON_TYPES", "read_json", "read_model", "require_media_type"]

M = TypeVar("M", bound=BaseModel)

JSON_TYPES = frozenset({"application/json"})
_SYNTAX = "document.syntax"


def read_json(text: bytes) -> Any:
    """Return the JSON value; raise what says where it is wrong."""
    try:
        return json_reading.read_json(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"the body is not UTF-8 at byte {error.start}"
        raise _refused(_SYNTAX, message, "send it as UTF-8") from None
    except TextProblem as error:
        line, column = error.mark
        message = f"{error.message} (line {line}, column {column})"
        raise _refused(error.code, message, error.fix) from None


def _refused(code: str, message: str, fix: str | None = None) -> FlowdaptError:
    if code == _SYNTAX:
        return HttpProblem(400, message, code=code, fix=fix)
    return InvalidInput(message, code=code, fix=fix)


def require_media_type(request: Request, allowed: frozenset[str] = JSON_TYPES) -> str:
    """Return the media type of the body, without parameters; refuse one that is not listed."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in allowed:
        raise HttpProblem(
            415,
            f"the content type {found[:80] or '(none)'!r} is not read here",
            code="http.content_type",
            fix=f"send Content-Type: {' or '.join(sorted(allowed))}",
        )
    return found


async def read_model(request: Request, model: type[M]) -> M:
    """Read a JSON body as the model; an empty body stands for `{}`."""
    text = await request.body()
    value: Any = {}
    if text:
        require_media_type(request)
        value = read_json(text)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False), model) from None
