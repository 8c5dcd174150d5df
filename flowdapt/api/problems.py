"""Decide how an error answers over HTTP: one table from errors to statuses, one body (RFC 9457)."""

from __future__ import annotations

import difflib
import inspect
import json
import typing
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from flowdapt.domain import errors
from flowdapt.domain.errors import FlowdaptError, InvalidInput, Problem
from flowdapt.domain.names import INVALID_NAME
from flowdapt.domain.segment import NAME_FIX

__all__ = [
    "HttpProblem",
    "ProblemBody",
    "ProblemDetail",
    "bug",
    "invalid_request",
    "problem_response",
    "status_of",
]

MEDIA_TYPE = "application/problem+json"

# The first class that fits, from the most exact to the widest.
STATUSES: Mapping[type[FlowdaptError], int] = {
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Denied: 403,
    errors.TooLarge: 413,
    errors.QueueFull: 429,
    errors.StorageFull: 507,
    errors.Unavailable: 503,
    errors.TimedOut: 504,
    errors.UnsafeDirectory: 503,
    errors.StoreUnwritable: 507,
}
RETRY_AFTER_S = 5
SEE_CONTRACT = "flowdapt openapi  tells what the call takes"


class ProblemDetail(BaseModel):
    """One thing wrong, and where."""

    loc: list[str | int] = Field(description="Path inside the request or document.")
    msg: str
    code: str
    suggestion: str | None = None
    fix: str | None = None
    source: str | None = None
    line: int | None = None
    column: int | None = None


class ProblemBody(BaseModel):
    """An error, as every call answers it (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; see the reference of errors.")
    fix: str | None = Field(default=None, description="What to do about it.")
    errors: list[ProblemDetail] = []


class HttpProblem(FlowdaptError):
    """A request that is wrong as HTTP, whatever it asks for."""

    code = "http"

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        fix: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, fix=fix)
        self.status = status
        self.headers = dict(headers or {})


def status_of(error: FlowdaptError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, HttpProblem):
        return error.status
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500


def problem_response(error: FlowdaptError) -> Response:
    """Return the answer that tells of the error."""
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, HttpProblem) else {}
    if status in (429, 503):
        headers.setdefault("retry-after", str(RETRY_AFTER_S))
    return Response(_body(error, status), status, headers, MEDIA_TYPE)


def _body(error: FlowdaptError, status: int) -> bytes:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.exact_code,
        "fix": error.fix,
        "errors": [_detail(problem) for problem in error.problems],
    }
    if error.details:
        body["details"] = error.details
    # Everything non-ASCII is escaped: what a client typed may not even be valid Unicode.
    return json.dumps(body, default=str).encode()


def _detail(problem: Problem) -> dict[str, Any]:
    return {
        "loc": list(problem.loc),
        "msg": problem.message,
        "code": problem.code,
        "suggestion": problem.suggestion,
        "fix": problem.fix,
        "source": problem.source,
        "line": problem.line,
        "column": problem.column,
    }


def bug() -> FlowdaptError:
    """Return what is said when an answer failed for a reason that nobody foresaw."""
    return FlowdaptError(
        "flowdapt failed to answer", fix="look at the daemon's log, and please report it"
    )


def invalid_request(
    found: Sequence[Any], model: Any = None, fields: Iterable[str] = ()
) -> InvalidInput:
    """Return the error for what pydantic found; `model` and `fields` feed the suggestions."""
    problems = tuple(_problem(one, model, fields) for one in found)
    first = problems[0]
    where = ".".join(str(part) for part in first.loc)
    return InvalidInput(
        f"{where}: {first.message}" if where else first.message,
        code=first.code if len(problems) == 1 else "request.invalid",
        fix=f"did you mean {first.suggestion!r}?" if first.suggestion else first.fix,
        problems=problems,
    )


def _problem(found: Mapping[str, Any], model: Any, fields: Iterable[str]) -> Problem:
    loc = tuple(found["loc"])
    if found["type"] == INVALID_NAME:
        return Problem("name.invalid", _in_words(found), loc, fix=NAME_FIX)
    if found["type"] != "extra_forbidden":
        return Problem("request.invalid", _in_words(found), loc, fix=SEE_CONTRACT)
    inside = loc[1:] if loc and loc[0] == "body" else loc
    known = list(fields) or _fields_at(model, inside[:-1])
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return Problem(
        "field.unknown",
        "there is no such field",
        loc,
        suggestion=near[0] if near else None,
        fix=f"fields there: {', '.join(sorted(known))}" if any(known) else "remove it",
    )


def _in_words(found: Mapping[str, Any]) -> str:
    return str(found["msg"]).removeprefix("Value error, ")


def _fields_at(model: Any, path: Sequence[int | str]) -> list[str]:
    for part in path:
        model = _model_in(model)
        field = model.model_fields.get(str(part)) if model is not None else None
        model = None if field is None else field.annotation
    model = _model_in(model)
    return list(model.model_fields) if model is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model of `Model`, `Model | None` or `list[Model]`."""
    if inspect.isclass(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    for inner in typing.get_args(annotation):
        model = _model_in(inner)
        if model is not None:
            return model
    return None
