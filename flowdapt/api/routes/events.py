"""Calls that read the journal, a page of it or live from where a reader stopped, and add events to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import answer, backend_of
from flowdapt.api.backend import Backend
from flowdapt.api.bodies import JSON_TYPES, read_json, require_media_type
from flowdapt.api.parameters import Ident, Instant, Limit, Text
from flowdapt.api.problems import invalid_request
from flowdapt.api.routing import Wire, new_router, problems, returns, returns_stream, takes
from flowdapt.api.stream import Events, EventStream, wants_stream
from flowdapt.domain.custom_events import RESERVED_TYPES, PostedEvent
from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.event_filter import TYPE_PATTERN, EventFilter
from flowdapt.domain.events import Event
from flowdapt.services.feed import Place

__all__ = ["router"]

router = new_router("events")

CLOUD_EVENT = "application/cloudevents+json"
_CURSOR_MAX = 2**53
Type = Annotated[str, Query(min_length=1, max_length=200, pattern=TYPE_PATTERN)]
Types = Annotated[
    list[Type],
    Query(
        default_factory=list,
        alias="type",
        max_length=20,
        description="Event types; a star stands for any text: `com.event.workflow.*`.",
    ),
]
Subject = Annotated[str, Query(max_length=256, description="How the subject begins: `trigger/`.")]


class EventPage(Wire):
    """Events by cursor; `next` continues the reading as `after`.

    `newest` is where the journal ended when the newest ones were asked for.
    """

    items: list[Event]
    next: int | None = None
    newest: int | None = None


@router.get(
    "/events",
    responses=returns_stream(EventPage, 404, 422),
)
async def read_events(
    request: Request,
    *,
    after: Annotated[int | None, Query(ge=0, le=_CURSOR_MAX)] = None,
    run: Text = None,
    workflow: Text = None,
    types: Types,
    subject: Subject = "",
    since: Instant | None = None,
    tail: Annotated[bool, Query(description="The newest ones, in place of the first.")] = False,
    limit: Limit = 100,
    last_event_id: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Read the journal after a cursor; as a stream it goes on from `Last-Event-ID`, or from now."""
    backend = backend_of(request)
    if run is not None:
        run = (await backend.store.get_run(run)).uid
    where = EventFilter(tuple(types), run, workflow, subject)
    if wants_stream(request.headers.get("accept", "")):
        return _follow(backend, where, await backend.feed.place(after=after, last_id=last_event_id))
    newest = await backend.store.newest_cursor() if tail else None
    found = await backend.store.list_events(
        after=after or 0, run=run, types=types, workflow=workflow, subject=subject,
        since=since, newest=tail, limit=limit,
    )  # fmt: skip
    more = len(found) == limit and not tail
    return answer(EventPage(items=found, next=found[-1].cursor if more else None, newest=newest))


@router.get("/runs/{ident}/events", responses=returns(EventPage) | problems(404, 409, 422))
async def read_run_events(
    request: Request,
    ident: Ident,
    after: Annotated[int, Query(ge=0, le=_CURSOR_MAX)] = 0,
    limit: Limit = 500,
) -> Response:
    """Read what happened to one run, in order."""
    store = backend_of(request).store
    uid = (await store.get_run(ident)).uid
    found = await store.list_events(after=after, run=uid, limit=limit)
    full = len(found) == limit
    return answer(EventPage(items=found, next=found[-1].cursor if full else None))


def _follow(backend: Backend, where: EventFilter, place: Place) -> EventStream:
    @asynccontextmanager
    async def source() -> AsyncIterator[Events]:
        async with backend.feed.follow(place, where) as pieces:
            yield pieces

    return EventStream(source, keep_alive_s=backend.limits.keep_alive_s, stopping=backend.stopping)


def _takes_events() -> dict[str, Any]:
    said = takes(PostedEvent, required=True)
    content = said["requestBody"]["content"]
    content[CLOUD_EVENT] = content["application/json"]
    return said


@router.post(
    "/events",
    status_code=201,
    responses=returns(Event, 201, "Stored durably.")
    | returns(Event, 200, "It was there: the id named it.")
    | problems(400, 413, 415, 422, 503, 507),
    openapi_extra=_takes_events(),
)
async def post_event(request: Request) -> Response:
    """Add an event of your own (CloudEvents 1.0); triggers see it. The same `id` is the same event."""
    require_media_type(request, JSON_TYPES | {CLOUD_EVENT})
    value = read_json(await request.body())
    _refuse_reserved(value)
    try:
        posted = PostedEvent.model_validate(value)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False), PostedEvent) from None
    event, new = await backend_of(request).feed.post(posted.draft())
    return answer(event, 201 if new else 200)


def _refuse_reserved(value: Any) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind.startswith(RESERVED_TYPES):
        raise InvalidInput(
            f"flowdapt alone tells events of the type {kind[:200]}",
            code="event.reserved_type",
            fix="give it a type of your own, such as org.example.data_arrived",
        )
