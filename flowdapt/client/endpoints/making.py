"""Decide how requests are put together and answers turned into values; shared by all endpoints.

Domain models are imported when an answer is read: the command line prints JSON and needs none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from flowdapt.client.wire import Request, Response, json_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from flowdapt.ports.store import Page

__all__ = [
    "API",
    "Query",
    "body",
    "listed",
    "nothing",
    "page",
    "path",
    "query",
    "raw",
    "request",
    "value",
]

API = "/api/v1"
M = TypeVar("M", bound="BaseModel")
Query = Mapping[str, Any]
JSON_BODY = ("content-type", "application/json")


def path(*parts: str) -> str:
    """Join path segments below the API's root, each quoted whole."""
    return "/".join([API, *(quote(part, safe="") for part in parts)])


def query(given: Query) -> tuple[tuple[str, str], ...]:
    """Return the parameters that have a value; lists repeat their name, times are RFC 3339."""
    pairs: list[tuple[str, str]] = []
    for name, one in given.items():
        many = one if isinstance(one, list | tuple | set | frozenset) else [one]
        pairs += [(name, _text(each)) for each in many if each is not None and each is not False]
    return tuple(pairs)


def _text(value: object) -> str:
    if value is True:
        return "true"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def body(content: object) -> bytes:
    """Return the JSON of a body; what JSON cannot hold is a TypeError of the caller."""
    return json.dumps(content, allow_nan=False).encode()


def request(
    method: str,
    *parts: str,
    given: Query | None = None,
    content: object = None,
    headers: tuple[tuple[str, str], ...] = (),
    patience_s: float = 0.0,
) -> Request:
    if content is not None:
        headers = (*headers, JSON_BODY)
    sent = b"" if content is None else body(content)
    return Request(method, path(*parts), query(given or {}), headers, sent, patience_s)


def value(response: Response) -> Any:
    """Read an answer as plain JSON."""
    return json_of(response)


def raw(response: Response) -> bytes:
    return response.body


def nothing(response: Response) -> None:
    """Read an answer that says no more than its status."""


def listed(response: Response) -> list[dict[str, Any]]:
    """Read the items of a list that comes whole."""
    items: list[dict[str, Any]] = json_of(response)["items"]
    return items


def page(response: Response, one: Callable[[Any], M]) -> Page[M]:
    from flowdapt.ports.store import Page

    found = json_of(response)
    return Page([one(item) for item in found["items"]], found.get("next"))
