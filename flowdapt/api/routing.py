"""Decide what every route does before and after its function: strict input, problems as answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import API, backend_of, refuse_unknown_queries
from flowdapt.api.problems import ProblemBody, invalid_request, problem_response
from flowdapt.api.stream import EVENT_STREAM
from flowdapt.domain.errors import FlowdaptError

__all__ = [
    "DOCUMENTED",
    "Responses",
    "StrictRoute",
    "Wire",
    "new_router",
    "problems",
    "returns",
    "returns_stream",
    "takes",
]

Responses = dict[int | str, dict[str, Any]]
# The models that the contract names: their schemas are made when somebody asks for it.
DOCUMENTED: set[type[BaseModel]] = {ProblemBody}
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class Wire(BaseModel):
    """A body that is built when it is first needed."""

    model_config = ConfigDict(defer_build=True)


class StrictRoute(APIRoute):
    """A route that refuses unknown parameters and answers errors as problems.

    Bodies are read by the functions (`bodies.read_model`); `takes` tells the contract of them.
    """

    def get_route_handler(self) -> Endpoint:
        inner = super().get_route_handler()
        queries = frozenset(field.alias for field in self.dependant.query_params)

        async def handle(request: Request) -> Response:
            try:
                refuse_unknown_queries(request, queries)
                if request.method != "GET":
                    return await inner(request)
                async with backend_of(request).questions:
                    return await inner(request)
            except RequestValidationError as error:
                return problem_response(invalid_request(error.errors()))
            except FlowdaptError as error:
                return problem_response(error)

        return handle


def new_router(tag: str, prefix: str = API) -> APIRouter:
    """Return a router for one group of calls."""
    return APIRouter(
        prefix=prefix, route_class=StrictRoute, tags=[tag], default_response_class=Response
    )


def returns(model: type[BaseModel], status: int = 200, description: str = "Done.") -> Responses:
    """Return what OpenAPI says of this answer. FastAPI builds nothing for it, start-up is short."""
    DOCUMENTED.add(model)
    return _json_content({"$ref": f"#/components/schemas/{model.__name__}"}, status, description)


def returns_stream(model: type[BaseModel], *statuses: int) -> Responses:
    """Return what OpenAPI says of an answer that is a stream of events on request."""
    both = returns(model)
    both[200]["content"][EVENT_STREAM] = {"schema": {"type": "string"}}
    return both | problems(*statuses)


def _json_content(schema: dict[str, Any], status: int, description: str) -> Responses:
    return {
        status: {"description": description, "content": {"application/json": {"schema": schema}}}
    }


def takes(model: type[BaseModel], *, required: bool = False) -> dict[str, Any]:
    """Return what OpenAPI says of a JSON body that the function reads by itself."""
    DOCUMENTED.add(model)
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": required, "content": content}}


def problems(*statuses: int) -> Responses:
    """Return what OpenAPI says of these error answers."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {"application/problem+json": {"schema": PROBLEM_REFERENCE}},
        }
        for status in statuses
    }


PROBLEM_REFERENCE = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
_DESCRIPTIONS = {
    400: "The request is malformed.",
    403: "The caller may not do this.",
    404: "There is no such thing.",
    406: "None of the accepted types can be had.",
    409: "The state is not what the request assumed.",
    412: "`If-Match` names another revision.",
    413: "Something is over a written limit.",
    415: "The content type is not read here.",
    422: "The request is wrong as it stands.",
    429: "Too many runs are queued.",
    503: "It cannot be served now and heals by itself.",
    507: "No space is left.",
}
