"""Calls about the daemon itself: health, figures, plugins, drain, upkeep."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api import direct
from flowdapt.api.answers import answer, backend_of
from flowdapt.api.routing import Responses, Wire, new_router, problems, returns

__all__ = ["health_router", "router"]

health_router = new_router("health", prefix="")
router = new_router("system")

DryRun = Annotated[bool, Query(description="Say what would go, and delete nothing.")]


class Executor(Wire):
    """The active executor and how busy it is."""

    name: str
    kind: str
    state: str
    slots: int | None
    busy: int
    waiting: int
    cpus: float
    gpus: float
    memory_bytes: int
    resources: dict[str, float]
    active: bool


class Status(Wire):
    """What the daemon says of itself."""

    version: str
    pid: int
    uptime_s: float
    socket: str
    database: str
    broker: str
    executor: Executor
    services: dict[str, str]
    runs: dict[str, int]
    triggers: dict[str, int]
    draining: bool
    artifacts: str
    data_dir: str
    log_file: str | None
    free_bytes: int
    database_bytes: int | None
    warnings: list[str]


class Plugin(Wire):
    """A plugin; `error` says why it is disabled."""

    name: str
    version: str = ""
    enabled: bool = True
    builtin: bool = False
    provides: list[str]
    error: str | None = None


class PluginList(Wire):
    """The plugins that were found."""

    items: list[Plugin]


class Drained(Wire):
    """Whether the daemon is about to end."""

    draining: bool


class Collected(Wire):
    """What a collection deleted, or would delete."""

    runs: int = 0
    orphans: int = 0
    dry_run: bool = False


class Backup(Wire):
    """A copy of the database that was written and checked."""

    path: str
    size_bytes: int


class StoreChecked(Wire):
    """Every broken invariant, in words; empty when all hold."""

    problems: list[str]


_FIGURES: Responses = {
    200: {
        "description": "Prometheus text.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@health_router.get("/livez", status_code=204)
async def live(request: Request) -> Response:
    """Say that the process answers."""
    return await direct.live(request)


@health_router.get("/readyz", status_code=204, responses=problems(503))
async def ready(request: Request) -> Response:
    """Say whether the daemon takes work."""
    return await direct.ready(request)


@health_router.get(
    "/metrics",
    responses=_FIGURES,
)
async def metrics(request: Request) -> Response:
    """Get the daemon's figures."""
    backend = backend_of(request)
    text = backend.measures.text(await backend.health.open_runs(), backend.health.slots())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/status", responses=returns(Status))
async def status(request: Request) -> Response:
    """Say how the daemon is."""
    return answer(Status.model_validate(await backend_of(request).health.status()))


@router.get("/plugins", responses=returns(PluginList))
async def list_plugins(request: Request) -> Response:
    """List the plugins that were found, also those that could not be loaded."""
    items = [
        Plugin(
            name=found.name,
            version=found.version,
            enabled=found.enabled,
            builtin=found.builtin,
            provides=list(found.provides),
            error=found.error,
        )
        for found in backend_of(request).plugins()
    ]
    return answer(PluginList(items=items))


@router.post("/drain", status_code=202, responses=returns(Drained, 202))
async def drain(
    request: Request,
    now: Annotated[bool, Query(description="Do not let running stages end.")] = False,
) -> Response:
    """End the daemon: nothing new is accepted, running stages may end first."""
    backend_of(request).control.drain(now=now)
    return answer(Drained(draining=True), 202)


@router.delete("/drain", responses=returns(Drained) | problems(409))
async def undrain(request: Request) -> Response:
    """Take work again, while the daemon still waits for its stages."""
    control = backend_of(request).control
    control.undrain()
    return answer(Drained(draining=False))


@router.post("/gc", responses=returns(Collected) | problems(422, 503, 507))
async def collect_garbage(request: Request, *, dry_run: DryRun = False) -> Response:
    """Delete what retention and orphaned files leave to delete."""
    found = await backend_of(request).control.collect_garbage(dry_run=dry_run)
    return answer(Collected.model_validate(found))


@router.post("/backup", status_code=201, responses=returns(Backup, 201) | problems(409, 503, 507))
async def write_backup(request: Request) -> Response:
    """Write a checked copy of the database while runs go on."""
    return answer(Backup.model_validate(await backend_of(request).control.backup()), 201)


@router.get("/check", responses=returns(StoreChecked) | problems(503))
async def check(request: Request) -> Response:
    """Check the invariants of the store and its files."""
    return answer(StoreChecked(problems=list(await backend_of(request).control.check())))
