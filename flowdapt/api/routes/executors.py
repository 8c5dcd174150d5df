"""Calls about what runs the stages: profiles, workers, checks, and the switch between executors."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import API, answer, backend_of
from flowdapt.api.bodies import read_model
from flowdapt.api.parameters import Executor, Segment
from flowdapt.api.routing import Wire, new_router, problems, returns, takes
from flowdapt.domain.executor_profile import (
    Checked,
    ExecutorView,
    NewProfile,
    Switched,
    SwitchRequest,
)

__all__ = ["router"]

router = new_router("executors")


class ExecutorList(Wire):
    """The executors, by name; those that are built in among them."""

    items: list[ExecutorView]


class Worker(Wire):
    """One worker of an executor."""

    name: str
    state: str
    pid: int | None = None
    task_key: str | None = None
    rss_bytes: int | None = None
    details: dict[str, Any]


class WorkerList(Wire):
    """The workers of an executor."""

    items: list[Worker]


@router.get("/executors", responses=returns(ExecutorList))
async def list_executors(request: Request) -> Response:
    """List the executors: which is active, how each is, how busy, how it scales."""
    return answer(ExecutorList(items=await backend_of(request).executors.views()))


@router.post(
    "/executors",
    status_code=201,
    responses=returns(ExecutorView, 201, "It is stored; nothing is opened yet.")
    | problems(400, 409, 413, 415, 422, 503, 507),
    openapi_extra=takes(NewProfile, required=True),
)
async def add_executor(request: Request) -> Response:
    """Store the configuration of an executor under a name, its options checked."""
    new = await read_model(request, NewProfile)
    made = await backend_of(request).executors.add(new)
    return answer(made, 201, {"location": f"{API}/executors/{made.name}"})


@router.get("/executors/{name}", responses=returns(ExecutorView) | problems(404, 422))
async def get_executor(request: Request, name: Segment) -> Response:
    """Get one executor. Values of options that look like secrets are not shown."""
    return answer(await backend_of(request).executors.view(name))


@router.delete("/executors/{name}", status_code=204, responses=problems(404, 409, 422, 503, 507))
async def remove_executor(request: Request, name: Segment) -> Response:
    """Forget an executor. The active one, and one that open runs are pinned to, stays."""
    await backend_of(request).executors.remove(name)
    return Response(status_code=204)


@router.get("/executors/{name}/workers", responses=returns(WorkerList) | problems(404, 422))
async def list_workers(request: Request, name: Segment) -> Response:
    """List the workers of an executor as they are now; a closed one has none."""
    found = await backend_of(request).executors.workers(name)
    items = [
        Worker(
            name=worker.name,
            state=worker.state,
            pid=worker.pid,
            task_key=worker.task_key,
            rss_bytes=worker.rss_bytes,
            details=dict(worker.details),
        )
        for worker in found
    ]
    return answer(WorkerList(items=items))


@router.post(
    "/executors/{name}/check", responses=returns(Checked) | problems(400, 404, 409, 422, 503)
)
async def check_executor(request: Request, name: Executor) -> Response:
    """Open an executor where it is not open, look at it, and run a small task on it.

    `-` is the one before; the answer names it. What it finds is the answer, also when something failed: look at `passed`.
    """
    return answer(await backend_of(request).switch.check(name))


@router.put(
    "/active-executor",
    responses=returns(Switched, 200, "It was checked; `switched` says what became of it.")
    | problems(400, 404, 409, 413, 415, 422, 503, 507),
    openapi_extra=takes(SwitchRequest, required=True),
)
async def use_executor(request: Request) -> Response:
    """Check an executor and run on it from now on; runs that are open stay where they are.

    What failed a check is the answer, not an error: nothing has changed then.
    """
    wanted = await read_model(request, SwitchRequest)
    return answer(await backend_of(request).switch.switch(wanted))
