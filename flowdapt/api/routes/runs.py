"""Calls that start runs, look at them and change them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api import direct
from flowdapt.api.answers import answer, backend_of
from flowdapt.api.parameters import (
    Cursor,
    Ident,
    Instant,
    Key,
    Limit,
    Pairs,
    Seconds,
    Stage,
    Text,
    pairs,
)
from flowdapt.api.routing import (
    Responses,
    Wire,
    new_router,
    problems,
    returns,
    returns_stream,
    takes,
)
from flowdapt.api.stream import (
    EVENT_STREAM,
    ByteStream,
    Events,
    EventStream,
    ServerEvent,
    closed_after,
    wants_stream,
)
from flowdapt.domain.run import Item, Reason, RetryRequest, Run, RunRequest, RunState, StageRun
from flowdapt.ports.store import RunFilter

__all__ = ["router"]

router = new_router("runs")


class RunPage(Wire):
    """Runs without stages, input and result; `next` is the cursor of the following page."""

    items: list[Run]
    next: str | None = None


class ItemPage(Wire):
    """Items of a mapped stage, by index."""

    items: list[Item]
    next: str | None = None


class StageList(Wire):
    """The stages of a run, in the order of the definition."""

    items: list[StageRun]


class ReasonList(Wire):
    """Why a run is as it is."""

    items: list[Reason]


class Series(Wire):
    """One metric of one stage; points are (step, value, UTC seconds), by step."""

    stage: str
    name: str
    index: int | None = None
    points: list[tuple[int, float, float]]


class SeriesList(Wire):
    """The metrics of a run."""

    items: list[Series]


_RESULT: Responses = {
    200: {"description": "The JSON value.", "content": {"application/json": {"schema": {}}}}
}
_WATCH: Responses = {
    200: {"description": "Events.", "content": {EVENT_STREAM: {"schema": {"type": "string"}}}}
}
Prefer = Annotated[
    str | None,
    Header(description="`wait=N`: answer when the run has ended, at most N (<= 60) seconds later."),
]


@router.post(
    "/workflows/{name}/runs",
    status_code=202,
    responses=returns(Run, 202)
    | returns(Run, 200, "It has ended, or the key named it.")
    | problems(400, 404, 409, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(RunRequest),
)
async def submit_run(
    request: Request,
    name: Ident,
    idempotency_key: Key = None,
    prefer: Prefer = None,
) -> Response:
    """Start a run of a workflow. A 2xx means that it is stored durably."""
    return await direct.submit_run(request, name)


@router.get(
    "/runs/{ident}",
    responses=returns_stream(Run, 400, 404, 409, 422),
)
async def get_run(request: Request, ident: Ident, prefer: Prefer = None) -> Response:
    """Get a run by uid, name or a unique prefix; as an event stream, or once it has ended."""
    if wants_stream(request.headers.get("accept", "")):
        return await watch_run(request, ident)
    return await direct.get_run(request, ident)


@router.get(
    "/runs/{ident}/watch",
    responses=_WATCH | problems(404, 409, 422),
)
async def watch_run(request: Request, ident: Ident) -> Response:
    """Follow a run: an event `run` now, after each change, and last when it has ended."""
    backend = backend_of(request)
    uid = (await backend.store.get_run(ident)).uid

    @asynccontextmanager
    async def source() -> AsyncIterator[Events]:
        async with backend.runs.watch(uid) as changes:
            yield _as_events(changes)

    return EventStream(source, keep_alive_s=backend.limits.keep_alive_s, stopping=backend.stopping)


async def _as_events(changes: AsyncIterator[Run]) -> Events:
    count = 0
    async with closed_after(changes):
        async for run in changes:
            count += 1
            yield ServerEvent(run.model_dump_json().encode(), "run", str(count))


@router.get("/runs", responses=returns(RunPage) | problems(422))
async def list_runs(
    request: Request,
    *,
    state: Annotated[list[RunState], Query(default_factory=list, description="Any of these.")],
    workflow: Text = None,
    namespace: Text = None,
    since: Annotated[Instant | None, Query(description="Created at or after.")] = None,
    until: Annotated[Instant | None, Query(description="Created before.")] = None,
    q: Text = None,
    label: Pairs,
    parent: Text = None,
    trigger: Annotated[Text, Query(description="Started by this trigger rule.")] = None,
    longer: Annotated[Seconds, Query(description="Took more than so many seconds.")] = None,
    shorter: Annotated[Seconds, Query(description="Took less than so many seconds.")] = None,
    sort: Literal[
        "created", "-created", "started", "-started",
        "finished", "-finished", "duration", "-duration",
    ] = "-created",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:  # fmt: skip
    """List runs, newest first."""
    where = RunFilter(
        states=frozenset(one.value for one in state),
        workflow=workflow,
        namespace=namespace,
        since=since,
        until=until,
        q=q,
        labels=pairs("label", label) or None,
        parent=parent,
        trigger=trigger,
        longer_s=longer,
        shorter_s=shorter,
        sort=sort,
    )
    page = await backend_of(request).runs.list_(where, cursor=cursor, limit=limit)
    return answer(RunPage(items=page.items, next=page.next))


@router.delete("/runs/{ident}", status_code=204, responses=problems(404, 409, 422))
async def delete_run(request: Request, ident: Ident) -> Response:
    """Delete a run that has ended, whole: rows, logs, values."""
    await backend_of(request).runs.delete(ident)
    return Response(status_code=204)


@router.get("/runs/{ident}/stages", responses=returns(StageList) | problems(404, 409, 422))
async def list_stages(request: Request, ident: Ident) -> Response:
    """List the stages of a run."""
    run = await backend_of(request).runs.get(ident)
    return answer(StageList(items=run.stages))


@router.get(
    "/runs/{ident}/stages/{stage}/items",
    responses=returns(ItemPage) | problems(404, 409, 422),
)
async def list_items(
    request: Request,
    ident: Ident,
    stage: Stage,
    state: Literal["pending", "retrying", "finished", "failed"] | None = None,
    cursor: Cursor = None,
    limit: Limit = 500,
) -> Response:
    """List the items of a mapped stage."""
    page = await backend_of(request).runs.items(
        ident, stage, state=state, cursor=cursor, limit=limit
    )
    return answer(ItemPage(items=page.items, next=page.next))


@router.get("/runs/{ident}/metrics", responses=returns(SeriesList) | problems(404, 409, 422))
async def get_metrics(
    request: Request, ident: Ident, stage: Text = None, name: Text = None
) -> Response:
    """Get the series that stages recorded with `metric(name, value, step)`."""
    store = backend_of(request).store
    uid = (await store.get_run(ident)).uid
    found = await store.get_metrics(uid, stage=stage, name=name)
    items = [
        Series(stage=one.stage, name=one.name, index=one.index, points=one.points) for one in found
    ]
    return answer(SeriesList(items=items))


@router.get(
    "/runs/{ident}/result",
    responses=_RESULT | problems(404, 409, 422),
)
async def get_result(request: Request, ident: Ident) -> Response:
    """Stream the JSON text of a run's result, whatever its size."""
    pieces = await backend_of(request).runs.result(ident)
    # What is wrong with the value shows at its first piece, while there is a status to give.
    first = await anext(pieces, b"")
    return ByteStream(_continued(first, pieces), media_type="application/json")


async def _continued(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async with closed_after(rest):
        yield first
        async for piece in rest:
            yield piece


@router.get("/runs/{ident}/explain", responses=returns(ReasonList) | problems(404, 409, 422))
async def explain_run(request: Request, ident: Ident) -> Response:
    """Say why the run and its stages are as they are, and what to do."""
    return answer(ReasonList(items=await backend_of(request).runs.explain(ident)))


@router.post(
    "/runs/{ident}/cancel",
    status_code=202,
    responses=returns(Run, 202)
    | returns(Run, 200, "It had ended before.")
    | problems(404, 409, 422, 503, 507),
)
async def cancel_run(request: Request, ident: Ident) -> Response:
    """Ask for the end of a run. Idempotent; a run that has ended stays as it is."""
    run = await backend_of(request).runs.cancel(ident)
    return answer(run, 200 if run.state.terminal else 202)


@router.post(
    "/runs/{ident}/retry",
    status_code=202,
    responses=returns(Run, 202)
    | returns(Run, 200, "The key named it.")
    | problems(400, 404, 409, 413, 415, 422, 429, 503, 507),
    openapi_extra=takes(RetryRequest),
)
async def retry_run(request: Request, ident: Ident, idempotency_key: Key = None) -> Response:
    """Start a new run whose finished stages are taken over from this one."""
    return await direct.retry_run(request, ident)
