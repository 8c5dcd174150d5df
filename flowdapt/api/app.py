"""Put the API together: the routes in the order of how often they are asked, and the contract."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from flowdapt import __version__
from flowdapt.api.answers import API
from flowdapt.api.problems import HttpProblem, bug, problem_response
from flowdapt.api.routes import (
    artifacts,
    events,
    executors,
    logs,
    resources,
    runs,
    secrets,
    system,
    triggers,
)
from flowdapt.api.routes.secrets import SecretValue
from flowdapt.api.routing import DOCUMENTED
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.executor_profile import NewProfile, SwitchRequest
from flowdapt.domain.resource import Resource
from flowdapt.domain.run import RetryRequest, RunRequest
from flowdapt.domain.trigger_views import EventChoice, PauseRequest

__all__ = ["create_framework", "openapi_document"]

_ROUTERS = (
    runs.router,
    system.health_router,
    logs.router,
    system.router,
    secrets.router,
    events.router,
    artifacts.router,
    triggers.router,
    executors.router,
    resources.router,
)
# Bodies are read in validation mode, everything else is written.
_READ: frozenset[type[BaseModel]] = frozenset(
    {RunRequest, RetryRequest, SecretValue, EventChoice, PauseRequest, NewProfile, SwitchRequest}
)


def openapi_document() -> dict[str, Any]:
    """Return the contract of the REST interface (OpenAPI 3.1)."""
    return create_framework().openapi()


def create_framework() -> FastAPI:
    """Return the FastAPI app with every route; `Guard` stands before it."""
    app = FastAPI(
        title="flowdapt",
        version=__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HTTPException: _answer_http_error,
            FlowdaptError: _answer_error,
            Exception: _answer_bug,
        },
    )
    # The routes themselves, not included routers: those are matched twice over.
    for router in _ROUTERS:
        app.router.routes.extend(router.routes)
    app.openapi = lambda: _contract(app)  # type: ignore[method-assign]  # as FastAPI documents it
    return app


async def _answer_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, FlowdaptError)
    return problem_response(error)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = ", ".join(_allowed(request))
    words = {
        404: ("http.no_such_path", f"there is no {request.url.path[:200]}"),
        405: ("http.method", f"{request.method[:20]} is not for this path"),
    }
    code, message = words.get(error.status_code, ("http.refused", str(error.detail)))
    problem = HttpProblem(
        error.status_code,
        message,
        code=code,
        fix=f"see {API}/openapi.json",
        headers=headers,
    )
    return problem_response(problem)


def _allowed(request: Request) -> list[str]:
    """Return the methods of every route of this path: the first that fits knows its own alone."""
    scope = dict(request.scope)
    routes = request.app.router.routes
    return sorted({m for route in routes if _fits(route, scope) for m in route.methods})


def _fits(route: BaseRoute, scope: dict[str, Any]) -> bool:
    return isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE


async def _answer_bug(_request: Request, _error: Exception) -> Response:
    return problem_response(bug())


def _contract(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description="Run machine-learning workflows. Errors are RFC 9457 problems.",
            routes=app.routes,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(_schemas())
        schemas["Document"] = _document_schema()
        for path in document["paths"].values():
            for operation in path.values():
                _without_default_422(operation)
                _without_null(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _schemas() -> dict[str, Any]:
    """Return the schemas of every model that the routes name."""
    models = sorted(DOCUMENTED, key=lambda model: model.__name__)
    modes: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
        (model, "validation" if model in _READ else "serialization") for model in models
    ]
    _, found = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _document_schema() -> dict[str, Any]:
    """Return the schema of a document as a person sends it: the kind's own rules come at apply."""
    schema = Resource.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    schema["title"] = "Document"
    return schema


def _without_null(operation: dict[str, Any]) -> None:
    """A parameter that may be left out is not one that may be null."""
    for parameter in operation.get("parameters", ()):
        kinds = [kind for kind in parameter["schema"].get("anyOf", ()) if kind != {"type": "null"}]
        if len(kinds) == 1:
            del parameter["schema"]["anyOf"]
            parameter["schema"] |= kinds[0]


def _without_default_422(operation: dict[str, Any]) -> None:
    """Take out FastAPI's own 422, whose body is not what is answered here."""
    responses = operation["responses"]
    content = responses.get("422", {}).get("content", {})
    if "application/json" in content:
        del content["application/json"]
        if not content:
            del responses["422"]
