"""Answer the calls that are asked most, and first, without the framework: it costs them half their time.

Their contract stands in `routes/` like that of all calls; only what they do stands here. The daemon
is ready with these, while FastAPI is still being loaded.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.responses import Response

from flowdapt.api.answers import API, answer, backend_of, refuse_unknown_queries
from flowdapt.api.bodies import read_model
from flowdapt.domain.errors import Draining, InvalidInput, Unavailable
from flowdapt.domain.names import check_name
from flowdapt.domain.run import RetryRequest, Run, RunRequest

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["find_direct", "get_run", "live", "ready", "retry_run", "submit_run", "wait_s"]

Call = Callable[["Request"], Awaitable[Response]]

WAIT_MAX_S = 60.0
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_WAIT = re.compile(
    r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6}(?:\.\d{1,3})?)\"?(?=$|[,;\s])", re.IGNORECASE
)
_PREFIX = f"{API}/"


def find_direct(method: str, path: str, *, streams: bool) -> tuple[str, Call] | None:
    """Return the route's template and what answers it, for the calls that are answered here."""
    if not path.startswith(_PREFIX):
        return _HEALTH.get((method, path))
    match method, path[len(_PREFIX) :].split("/"):
        case "POST", ["workflows", name, "runs"]:
            return f"{API}/workflows/{{name}}/runs", lambda request: submit_run(request, name)
        case "GET", ["runs", ident] if not streams:
            return f"{API}/runs/{{ident}}", lambda request: get_run(request, ident)
    return None


def wait_s(request: Request) -> float:
    """Return how long the client is willing to wait (`Prefer: wait=N`), within bounds."""
    prefer = request.headers.get("prefer")
    found = _WAIT.search(prefer) if prefer else None
    return min(float(found[1]), WAIT_MAX_S) if found else 0.0


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise InvalidInput(
            "the Idempotency-Key is not 1-128 of A-Z a-z 0-9 . _ : -",
            code="request.invalid",
            fix="use a UUID, for instance",
        )
    return key


async def submit_run(request: Request, name: str) -> Response:
    """Store a run of a workflow; answer at once, or when it has ended and the client would wait."""
    refuse_unknown_queries(request, frozenset())
    _refuse_while_draining(request)
    check_name(name, "workflow name")
    key = _idempotency_key(request)
    body = await read_model(request, RunRequest)
    waited = wait_s(request)
    run, created = await backend_of(request).runs.submit(name, body, key=key, wait_s=waited)
    return _submitted(run, created=created, waited=waited)


async def retry_run(request: Request, ident: str) -> Response:
    """Store a run that takes over the finished stages of another."""
    _refuse_while_draining(request)
    key = _idempotency_key(request)
    body = await read_model(request, RetryRequest)
    run, created = await backend_of(request).runs.retry(ident, body, key=key)
    return _submitted(run, created=created, waited=0.0)


def _submitted(run: Run, *, created: bool, waited: float) -> Response:
    headers = {"location": f"{API}/runs/{run.uid}"}
    if waited:
        headers["preference-applied"] = f"wait={waited:g}"
    done = run.state.terminal or not created
    return answer(run, 200 if done else 202, headers)


def _refuse_while_draining(request: Request) -> None:
    if backend_of(request).health.draining:
        raise Draining(
            "the daemon is draining and starts no new run", fix="wait until it is up again"
        )


async def get_run(request: Request, ident: str) -> Response:
    """Return a run, or with `Prefer: wait=N` the run once it has ended."""
    refuse_unknown_queries(request, frozenset())
    check_name(ident, "run name")
    backend = backend_of(request)
    waited = wait_s(request)
    if waited:
        return answer(await backend.runs.wait(ident, timeout_s=waited))
    async with backend.questions:
        return answer(await backend.runs.get(ident))


async def live(_request: Request) -> Response:
    """Say that the process answers."""
    return Response(status_code=204)


async def ready(request: Request) -> Response:
    """Say whether the daemon takes work."""
    health = backend_of(request).health
    if health.draining:
        raise Draining("the daemon is draining", fix="wait until it is up again")
    if not health.ready:
        raise Unavailable("the daemon is starting", fix="wait a moment")
    return Response(status_code=204)


_HEALTH: dict[tuple[str, str], tuple[str, Call]] = {
    ("GET", "/livez"): ("/livez", live),
    ("GET", "/readyz"): ("/readyz", ready),
}
