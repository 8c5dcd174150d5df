"""Calls about secrets: names come out, values only go in."""

from __future__ import annotations

from typing import Literal

import trio
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import answer, backend_of
from flowdapt.api.bodies import read_model
from flowdapt.api.parameters import Segment
from flowdapt.api.routing import Wire, new_router, problems, returns, takes
from flowdapt.domain.errors import NotFound

__all__ = ["SecretValue", "router"]

router = new_router("secrets")


class SecretValue(Wire):
    """A value to keep; it is never given out again."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    value: str = Field(min_length=1, max_length=65536)


class SecretInfo(Wire):
    """A secret that exists, and where its value lies."""

    name: str
    place: Literal["environment", "keyring", "file"]


class SecretList(Wire):
    """The names of secrets."""

    items: list[SecretInfo]


@router.get("/secrets", responses=returns(SecretList) | problems(503))
async def list_secrets(request: Request) -> Response:
    """List the names of secrets; values are never given out."""
    found = await trio.to_thread.run_sync(backend_of(request).secrets.list_)
    return answer(SecretList(items=[SecretInfo(name=one.name, place=one.place) for one in found]))


@router.get("/secrets/{name}", responses=returns(SecretInfo) | problems(404, 422, 503))
async def get_secret(request: Request, name: Segment) -> Response:
    """Say where a secret lies; its value is never given out."""
    found = await trio.to_thread.run_sync(backend_of(request).secrets.list_)
    for one in found:
        if one.name == name:
            return answer(SecretInfo(name=one.name, place=one.place))
    raise NotFound(
        f"there is no secret {name!r}", code="secret.missing", fix=f"flowdapt secret set {name}"
    )


@router.put(
    "/secrets/{name}",
    responses=returns(SecretInfo) | problems(400, 413, 415, 422, 503, 507),
    openapi_extra=takes(SecretValue, required=True),
)
async def put_secret(request: Request, name: Segment) -> Response:
    """Keep a secret, in the keyring or in the file of mode 0600."""
    body = await read_model(request, SecretValue)
    place = await trio.to_thread.run_sync(backend_of(request).secrets.set, name, body.value)
    return answer(SecretInfo(name=name, place=place))


@router.delete("/secrets/{name}", status_code=204, responses=problems(404, 422, 503, 507))
async def delete_secret(request: Request, name: Segment) -> Response:
    """Forget a secret."""
    await trio.to_thread.run_sync(backend_of(request).secrets.delete, name)
    return Response(status_code=204)
