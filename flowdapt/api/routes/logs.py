"""Calls that read what the stages of a run printed and logged, whole, searched or live."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Literal

import trio
from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import answer, backend_of
from flowdapt.api.backend import Backend
from flowdapt.api.parameters import Ident, Text
from flowdapt.api.routing import Wire, new_router, returns_stream
from flowdapt.api.stream import Events, EventStream, ServerEvent, wants_stream
from flowdapt.ports.broker import LOG_LINES, RUN_ENDED, Message
from flowdapt.ports.logs import LogQuery, StoredLine

__all__ = ["router"]

router = new_router("runs")

# A lost hint is made good by a look this often, and no oftener: an idle reader costs nothing.
_LOOK_S = 5.0
# What a reader is sent between two looks at whether it is still there.
_BATCH = 500
_CALM_S = 0.02


class Line(Wire):
    """One line; `number` counts within the run and continues a reading as `after`."""

    number: int
    time: float
    stage: str
    attempt: int
    index: int | None = None
    stream: str
    level: str
    logger: str = ""
    text: str


class LinePage(Wire):
    """Lines in order; `truncated` says that a cap cut the log."""

    items: list[Line]
    next_after: int
    truncated: bool = False


def _line(stored: StoredLine) -> Line:
    line = stored.line
    return Line(
        number=stored.number,
        time=line.time,
        stage=stored.stage,
        attempt=stored.attempt,
        index=line.index,
        stream=line.stream,
        level=line.level,
        logger=line.logger,
        text=line.text,
    )


@router.get(
    "/runs/{ident}/logs",
    responses=returns_stream(LinePage, 404, 409, 422),
)
async def read_logs(
    request: Request,
    ident: Ident,
    *,
    stage: Text = None,
    level: Literal["debug", "info", "warning", "error", "critical"] | None = None,
    grep: Annotated[str | None, Query(max_length=512, description="Regular expression.")] = None,
    context: Annotated[int, Query(ge=0, le=100, description="Lines around a match.")] = 0,
    attempt: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    index: Annotated[int | None, Query(ge=0, le=10**9, description="Of a mapped stage.")] = None,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    before: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    tail: Annotated[bool, Query(description="The last `limit` lines, not the first.")] = False,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,16}$")] = None,
) -> Response:
    """Read log lines, or follow them as a stream of events `log` until the run has ended."""
    backend = backend_of(request)
    uid = (await backend.store.get_run(ident)).uid
    query = LogQuery(
        stage=stage, min_level=level, grep=grep, context=context, attempt=attempt, index=index,
        after=after, before=before, tail=tail, limit=limit,
    )  # fmt: skip
    if wants_stream(request.headers.get("accept", "")):
        if last_event_id is not None:
            query = replace(query, after=int(last_event_id), tail=False)
        return _follow(backend, uid, query)
    # What a stage said before this request was sent is to be seen by it.
    await backend.logs.flush(uid)
    page = await backend.logs.read(uid, query)
    items = [_line(stored) for stored in page.lines]
    return answer(LinePage(items=items, next_after=page.next_after, truncated=page.truncated))


def _follow(backend: Backend, uid: str, query: LogQuery) -> EventStream:
    @asynccontextmanager
    async def source() -> AsyncIterator[Events]:
        # The reader pulls: however slow it is, lines wait in the log and never in memory.
        async with backend.broker.subscribe(LOG_LINES, RUN_ENDED, key=uid, capacity=1) as hints:
            yield _new_lines(backend, uid, query, hints)

    return EventStream(source, keep_alive_s=backend.limits.keep_alive_s, stopping=backend.stopping)


async def _new_lines(
    backend: Backend, uid: str, query: LogQuery, hints: AsyncIterator[Message]
) -> Events:
    query = replace(query, limit=min(query.limit, _BATCH), before=None, context=0)
    while True:
        ended = (await backend.store.get_run(uid)).state.terminal
        # The hint may have come before its lines were on disk.
        await backend.logs.flush(uid)
        page = await backend.logs.read(uid, query)
        for stored in page.lines:
            data = _line(stored).model_dump_json().encode()
            yield ServerEvent(data, "log", str(stored.number))
        advanced = page.next_after > query.after
        query = replace(query, after=page.next_after, tail=False)
        if advanced:
            continue
        if ended:
            yield ServerEvent(json.dumps({"truncated": page.truncated}).encode(), "end")
            return
        with trio.move_on_after(_LOOK_S):
            await anext(hints)
        # A burst of hints is one look.
        await trio.sleep(_CALM_S)
