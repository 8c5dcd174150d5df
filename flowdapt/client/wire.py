"""Decide what a request and its answer are, and which error a refusal stands for.

Nothing here reads a socket: transports carry these values, endpoints make and read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from flowdapt.domain import errors

__all__ = ["Call", "ConnectionLost", "Feed", "Request", "Response", "error_of", "json_of"]

T = TypeVar("T")

_SUCCESS = 2
_SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_IS_IT_OURS = "is there a flowdapt daemon at this address?  flowdapt status"
# What a status means when its code is not one of the tree's own.
_BY_STATUS: Mapping[int, type[errors.FlowdaptError]] = {
    400: errors.InvalidInput,
    401: errors.Denied,
    403: errors.Denied,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.NotFound,
    412: errors.StaleRevision,
    413: errors.TooLarge,
    415: errors.InvalidInput,
    421: errors.Denied,
    422: errors.InvalidInput,
    428: errors.Conflict,
    429: errors.QueueFull,
    503: errors.Unavailable,
    504: errors.TimedOut,
    507: errors.StorageFull,
}


class ConnectionLost(errors.Unreachable):
    """The connection broke before the answer was complete: the request may have been done."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    `patience_s` is what the server itself may take, on top of the usual. `named` says that the body
    names what is made, so that sending it again makes nothing new; `once` that it must never be.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    patience_s: float = 0.0
    named: bool = False
    once: bool = False

    @property
    def target(self) -> str:
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    @property
    def repeatable(self) -> bool:
        """Say whether sending it twice does what sending it once does."""
        keyed = any(name.lower() == "idempotency-key" for name, _ in self.headers)
        return not self.once and (self.method in _SAFE or keyed or self.named)

    def with_header(self, name: str, value: str) -> Request:
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return replace(self, headers=(*kept, (name, value)))


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status // 100 == _SUCCESS


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request together with how to read its answer."""

    request: Request
    read: Callable[[Response], T]


@dataclass(frozen=True, slots=True)
class Feed(Generic[T]):
    """A request for a live stream, and how to read one event (its type, its JSON value)."""

    request: Request
    read: Callable[[str, Any], T | None]


def json_of(response: Response) -> Any:
    """Return the JSON value of an answer; a body that is none is a broken server, not a KeyError."""
    try:
        return json.loads(response.body)
    except ValueError:
        raise errors.FlowdaptError(
            f"the server answered {response.status} with something that is not JSON",
            fix=_IS_IT_OURS,
        ) from None


def error_of(response: Response) -> errors.FlowdaptError:
    """Return the error that an answer stands for, with code, fix and problems."""
    said = _problem_document(response)
    code = str(said.get("code") or "")
    kind = _class_of(code) or _BY_STATUS.get(response.status, errors.FlowdaptError)
    details = dict(said.get("details") or {})
    if retry_after := response.headers.get("retry-after"):
        details["retry_after_s"] = retry_after
    return kind(
        str(said.get("detail") or said.get("title") or f"the server answered {response.status}"),
        fix=said.get("fix") if said else _IS_IT_OURS,
        code=code or None,
        problems=[_problem(one) for one in said.get("errors") or ()],
        details=details,
    )


def _problem_document(response: Response) -> dict[str, Any]:
    try:
        value = json.loads(response.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _problem(one: Mapping[str, Any]) -> errors.Problem:
    return errors.Problem(
        code=str(one.get("code") or "invalid"),
        message=str(one.get("msg") or one.get("message") or ""),
        loc=tuple(part if isinstance(part, int) else str(part) for part in one.get("loc") or ()),
        suggestion=one.get("suggestion"),
        fix=one.get("fix"),
        source=one.get("source"),
        line=one.get("line"),
        column=one.get("column"),
    )


def _class_of(code: str) -> type[errors.FlowdaptError] | None:
    """Return the class whose own code this is; an exact code below a family has none."""
    known: dict[str, type[errors.FlowdaptError]] = {}
    pending = [errors.FlowdaptError]
    while pending:
        kind = pending.pop()
        known.setdefault(kind.code, kind)
        pending.extend(one for one in kind.__subclasses__() if one.__module__ == errors.__name__)
    return known.get(code)
