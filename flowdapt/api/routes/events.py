"""Calls that read the journal: a page of it, or live, resumed from where a reader stopped."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import trio
from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import answer, backend_of
from flowdapt.api.backend import Backend
from flowdapt.api.parameters import Ident, Limit, Text
from flowdapt.api.routing import Wire, new_router, problems, returns, returns_stream
from flowdapt.api.stream import Events, EventStream, ServerEvent, wants_stream
from flowdapt.domain.events import Event
from flowdapt.ports.broker import EVENT_ADDED, RUN_ENDED, RUN_PROGRESS, Message

__all__ = ["router"]

router = new_router("events")

_LOOK_S = 5.0
_BATCH = 200
_CALM_S = 0.02
Types = Annotated[
    list[str],
    Query(default_factory=list, alias="type", max_length=20, description="Exact event types."),
]


class EventPage(Wire):
    """Events by cursor; `next` continues the reading as `after`."""

    items: list[Event]
    next: int | None = None


@router.get(
    "/events",
    responses=returns_stream(EventPage, 404, 422),
)
async def read_events(
    request: Request,
    *,
    after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    run: Text = None,
    types: Types,
    limit: Limit = 100,
    last_event_id: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Read the journal after a cursor; as a stream it goes on from `Last-Event-ID`, or from now."""
    backend = backend_of(request)
    if run is not None:
        run = (await backend.store.get_run(run)).uid
    if wants_stream(request.headers.get("accept", "")):
        return _follow(backend, run, types, after, last_event_id)
    found = await backend.store.list_events(after=after or 0, run=run, types=types, limit=limit)
    full = len(found) == limit
    return answer(EventPage(items=found, next=found[-1].cursor if full else None))


@router.get("/runs/{ident}/events", responses=returns(EventPage) | problems(404, 409, 422))
async def read_run_events(
    request: Request,
    ident: Ident,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Limit = 500,
) -> Response:
    """Read what happened to one run, in order."""
    store = backend_of(request).store
    uid = (await store.get_run(ident)).uid
    found = await store.list_events(after=after, run=uid, limit=limit)
    full = len(found) == limit
    return answer(EventPage(items=found, next=found[-1].cursor if full else None))


def _follow(
    backend: Backend, run: str | None, types: list[str], after: int | None, last_id: str | None
) -> EventStream:
    @asynccontextmanager
    async def source() -> AsyncIterator[Events]:
        incarnation = (await backend.store.info()).incarnation
        topics = (EVENT_ADDED, RUN_PROGRESS, RUN_ENDED)
        async with backend.broker.subscribe(*topics, capacity=1) as hints:
            start, gap = _resumed(last_id, incarnation)
            if start is None:
                start = after if after is not None else await _newest(backend)
            yield _new_events(backend, (run, types), start, gap, incarnation, hints)

    return EventStream(source, keep_alive_s=backend.limits.keep_alive_s, stopping=backend.stopping)


def _resumed(last_id: str | None, incarnation: str) -> tuple[int | None, bool]:
    """Return where to go on, and whether the journal is another one than the reader knew."""
    if last_id is None:
        return None, False
    known, _, cursor = last_id.rpartition("-")
    if known != incarnation or not (cursor.isascii() and cursor.isdigit()):
        return 0, True
    return int(cursor[:18]), False


async def _newest(backend: Backend) -> int:
    """Return the cursor of the newest event, found by halving: the port lists forward only."""
    low, step = 0, 1
    while await backend.store.list_events(after=low + step, limit=1):
        low, step = low + step, step * 2
    while step > 1:
        step //= 2
        if await backend.store.list_events(after=low + step, limit=1):
            low += step
    last = await backend.store.list_events(after=low, limit=2)
    return last[-1].cursor if last else low


async def _new_events(
    backend: Backend,
    which: tuple[str | None, list[str]],
    cursor: int,
    gap: bool,
    incarnation: str,
    hints: AsyncIterator[Message],
) -> Events:
    run, types = which
    if gap:
        reason = {"reason": "the journal is not the one that was read before"}
        yield ServerEvent(json.dumps(reason).encode(), "gap", f"{incarnation}-0")
    while True:
        # Read all and choose here: what was passed over is not looked at again.
        found = await backend.store.list_events(after=cursor, limit=_BATCH)
        for event in found:
            cursor = event.cursor
            if (run is None or event.run == run) and (not types or event.type in types):
                data = event.model_dump_json().encode()
                yield ServerEvent(data, event.type, f"{incarnation}-{cursor}")
        if len(found) < _BATCH:
            with trio.move_on_after(_LOOK_S):
                await anext(hints)
            # A burst of hints is one look.
            await trio.sleep(_CALM_S)
