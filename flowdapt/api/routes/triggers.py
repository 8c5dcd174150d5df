"""Calls about trigger rules as they are: at a glance, their instants and decisions, by hand, on trial.

The rules' documents are resources like others (`resources.py`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import answer, backend_of
from flowdapt.api.bodies import read_model
from flowdapt.api.parameters import Cursor, Limit, Segment, Text
from flowdapt.api.routing import Wire, new_router, problems, returns, takes
from flowdapt.domain.errors import Draining
from flowdapt.domain.fire import Fire, FireState
from flowdapt.domain.resource import Outlook
from flowdapt.domain.trigger_views import EventChoice, PauseRequest, TriggerStatus, TriggerTest
from flowdapt.services.trigger_requests import OUTLOOK_MAX

__all__ = ["router"]

router = new_router("triggers")

_STARTS = (FireState.STARTED, FireState.WAITING)


class TriggerPage(Wire):
    """Rules at a glance, by name; `next` is the cursor of the following page."""

    items: list[TriggerStatus]
    next: str | None = None


class FirePage(Wire):
    """Decisions of a rule, newest first; `next` is the cursor of the following page."""

    items: list[Fire]
    next: str | None = None


@router.get("/trigger-status", responses=returns(TriggerPage) | problems(422))
async def list_status(
    request: Request, q: Text = None, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """List the trigger rules at a glance: in words, paused or not, next instant, last decision."""
    page = await backend_of(request).triggers.list_(q=q, cursor=cursor, limit=limit)
    return answer(TriggerPage(items=page.items, next=page.next))


@router.get("/triggers/{name}/status", responses=returns(TriggerStatus) | problems(404, 422))
async def get_status(request: Request, name: Segment) -> Response:
    """Get a trigger rule at a glance."""
    return answer(await backend_of(request).triggers.status(name))


@router.get("/triggers/{name}/next", responses=returns(Outlook) | problems(404, 409, 422))
async def get_next(
    request: Request,
    name: Segment,
    n: Annotated[int, Query(ge=1, le=OUTLOOK_MAX, description="How many instants.")] = 5,
) -> Response:
    """Get a rule of time in words, how often it fires in a day, and its next instants."""
    return answer(await backend_of(request).triggers.outlook(name, n))


@router.get("/triggers/{name}/fires", responses=returns(FirePage) | problems(404, 422))
async def list_fires(
    request: Request,
    name: Segment,
    *,
    state: Annotated[list[FireState], Query(default_factory=list, description="Any of these.")],
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """List what a rule has decided, newest first."""
    page = await backend_of(request).triggers.fires(name, states=state, cursor=cursor, limit=limit)
    return answer(FirePage(items=page.items, next=page.next))


@router.post(
    "/triggers/{name}/fire",
    status_code=202,
    responses=returns(Fire, 202, "It started, or waits for an open run.")
    | returns(Fire, 200, "It is skipped or failed: nothing was started.")
    | problems(400, 404, 409, 413, 415, 422, 503, 507),
    openapi_extra=takes(EventChoice),
)
async def fire_trigger(request: Request, name: Segment) -> Response:
    """Fire a rule now, by hand, as if for the event if one is given. `overlap` holds."""
    if backend_of(request).health.draining:
        raise Draining("the daemon is draining and fires nothing", fix="wait until it is up again")
    choice = await read_model(request, EventChoice)
    fire = await backend_of(request).triggers.fire(name, choice)
    return answer(fire, 202 if fire.state in _STARTS else 200)


@router.post(
    "/triggers/{name}/pause",
    responses=returns(TriggerStatus) | problems(400, 404, 413, 415, 422, 503, 507),
    openapi_extra=takes(PauseRequest),
)
async def pause_trigger(request: Request, name: Segment) -> Response:
    """Keep a rule from firing by itself. Idempotent; the first reason stays."""
    wanted = await read_model(request, PauseRequest)
    return answer(await backend_of(request).triggers.pause(name, wanted.reason))


@router.post(
    "/triggers/{name}/resume",
    responses=returns(TriggerStatus) | problems(400, 404, 422, 503, 507),
)
async def resume_trigger(request: Request, name: Segment) -> Response:
    """Let a paused rule go on from now: what lies before is not made up for. Idempotent."""
    return answer(await backend_of(request).triggers.resume(name))


@router.post(
    "/triggers/{name}/test",
    responses=returns(TriggerTest) | problems(400, 404, 413, 415, 422),
    openapi_extra=takes(EventChoice),
)
async def test_trigger(request: Request, name: Segment) -> Response:
    """Say whether a rule would fire for an event, clause by clause, and with what. Change nothing."""
    choice = await read_model(request, EventChoice)
    return answer(await backend_of(request).triggers.test(name, choice))
