"""Decide what calls have in common: where they live, how they reach services, how models are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from flowdapt.api.problems import invalid_request
from flowdapt.domain.errors import InvalidInput

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

    from flowdapt.api.backend import Backend

__all__ = ["API", "answer", "backend_of", "refuse_unknown_queries"]

API = "/api/v1"


def backend_of(request: Request) -> Backend:
    backend: Backend = request.scope["backend"]
    return backend


def answer(value: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a model as JSON, written once by pydantic."""
    return Response(value.model_dump_json(), status, headers, "application/json")


def refuse_unknown_queries(request: Request, known: frozenset[str]) -> None:
    """Refuse query parameters that the call does not have, and text that cannot be stored."""
    if not request.scope["query_string"]:
        return
    if any("\0" in value for value in request.query_params.values()):
        raise InvalidInput("a query parameter holds NUL", code="request.invalid", fix="remove it")
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        found = [{"type": "extra_forbidden", "loc": ("query", name)} for name in unknown]
        raise invalid_request(found, fields=sorted(known) or ("",))
