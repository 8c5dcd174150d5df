"""A daemon for screens: answers from memory, tells events when asked to, goes away and comes back."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import flowdapt
from flowdapt.client.transports import AsyncStreamed
from flowdapt.client.wire import ConnectionLost, Request, Response
from flowdapt.domain.errors import Unreachable
from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.options import Options

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
Answer = Callable[[Request, re.Match[str]], Any]
_GONE = object()


def stamp(before_s: float = 0.0) -> str:
    return (NOW - timedelta(seconds=before_s)).isoformat().replace("+00:00", "Z")


def a_run(number: int = 1, state: str = "finished", **more: Any) -> dict[str, Any]:
    """Return a run as the daemon tells it; `number` gives uid, name and time."""
    ended = state in {"finished", "failed", "cancelled"}
    began = number * 60.0
    return {
        "uid": f"{number:032x}", "name": f"quiet-otter-{number:04d}", "workflow": "train", "revision": 1,
        "state": state, "created_at": stamp(began), "started_at": None if state == "queued" else stamp(began - 1),
        "finished_at": stamp(began - 31) if ended else None, "duration_s": 30.0 if ended else None,
        "source": "api", "executor": "local", "namespace": "default", "stages": [],
    } | more  # fmt: skip


def an_event(
    kind: str, run: Mapping[str, Any] | None = None, cursor: int = 1, **data: Any
) -> dict[str, Any]:
    """Return an event of the journal; `kind` is the end of its type, as in `workflow.workflow_started`."""
    told = {} if run is None else {
        name: run.get(name)
        for name in ("uid", "name", "workflow", "source", "started_at", "finished_at", "state",
                     "reason", "partial", "namespace", "executor", "error")
    }  # fmt: skip
    return {
        "cursor": cursor, "id": f"e{cursor}", "time": stamp(), "type": f"com.event.{kind}", "source": "flowdapt",
        "subject": f"run/{told.get('uid', '')}", "run": told.get("uid"), "seq": None, "data": told | data,
    }  # fmt: skip


class FakeDaemon:
    """The transport of an app under test. `on` adds answers; the latest that fits is taken."""

    def __init__(self) -> None:
        self.apps: list[FlowdaptApp] = []
        self.alive = True
        self.pid = 100
        self.status: dict[str, Any] = {
            "version": flowdapt.__version__, "uptime_s": 12.0, "socket": "/run/f.sock",
            "database": "sqlite:///flowdapt.db", "broker": "inprocess", "runs": {"queued": 0, "running": 0},
            "executor": {"name": "local", "kind": "local", "state": "ready", "slots": 2, "busy": 0, "waiting": 0,
                         "cpus": 2.0, "gpus": 0.0, "memory_bytes": 0, "resources": {}, "active": True},
            "services": {"api": "running", "compute": "running", "triggers": "running"}, "triggers": {},
            "draining": False, "artifacts": "file:///a", "data_dir": "/d", "log_file": None,
            "free_bytes": 50 * 1024**3, "database_bytes": 12 * 1024**2, "warnings": [],
        }  # fmt: skip
        self.runs: list[dict[str, Any]] = []
        self.asked: list[Request] = []
        self._answers: list[tuple[str, re.Pattern[str], Answer]] = []
        self._streams: set[asyncio.Queue[Any]] = set()
        self.on("GET", "/api/v1/status", lambda *_: self.status | {"pid": self.pid})
        self.on("GET", "/api/v1/runs", self._runs)
        self.on("GET", "/api/v1/runs/([^/]+)", self._run)
        self.on(
            "GET",
            "/api/v1/(trigger-status|triggers|workflows|configs|executors|plugins)",
            lambda *_: {"items": []},
        )

    def on(self, method: str, path: str, answer: Answer | Any) -> None:
        """Answer a path (a regular expression) with JSON, a `Response`, or what a function returns."""
        made = answer if callable(answer) else lambda *_: answer
        self._answers.insert(0, (method, re.compile(path), made))

    def asked_for(self, method: str, path: str) -> list[Request]:
        return [one for one in self.asked if one.method == method and re.fullmatch(path, one.path)]

    # --- what happens to it ----------------------------------------------------------------------

    def tell(self, *events: Mapping[str, Any]) -> None:
        """Tell events to every open stream."""
        for event in events:
            text = f"id: {event['cursor']}\ndata: {json.dumps(event)}\n\n"
            self._send(text.encode())

    def tell_gap(self, missed: int) -> None:
        self._send(f'event: gap\ndata: {{"reason": "slow", "missed": {missed}}}\n\n'.encode())

    def die(self) -> None:
        """Stop answering, as a daemon that was killed."""
        self.alive = False
        self._send(_GONE)

    def come_back(self) -> None:
        """Answer again, as a new process."""
        self.alive, self.pid = True, self.pid + 1

    # --- the transport ---------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        self._refuse_when_dead()
        self.asked.append(request)
        for method, path, answer in self._answers:
            found = path.fullmatch(unquote(request.path))
            if method == request.method and found:
                value = answer(request, found)
                if isinstance(value, Response):
                    return value
                return Response(
                    200, {"content-type": "application/json"}, json.dumps(value).encode()
                )
        return refusal(404, "request.not_found", f"{request.method} {request.path} is not told of")

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncStreamed]:
        self._refuse_when_dead()
        self.asked.append(request)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._streams.add(queue)
        try:
            yield AsyncStreamed(200, {"content-type": "text/event-stream"}, _chunks(queue))
        finally:
            self._streams.discard(queue)

    async def close(self) -> None:
        self._send(_GONE)

    def _send(self, chunk: Any) -> None:
        for queue in self._streams:
            queue.put_nowait(chunk)

    def _refuse_when_dead(self) -> None:
        if not self.alive:
            raise Unreachable("no daemon answers at /run/f.sock", fix="flowdapt up")

    def _runs(self, request: Request, found: re.Match[str]) -> dict[str, Any]:
        given = dict(request.query)
        states = [value for name, value in request.query if name == "state"]
        fit = [
            run for run in self.runs
            if (not states or run["state"] in states) and given.get("q", "") in run["name"] + run["workflow"]
        ]  # fmt: skip
        start, limit = int(given.get("cursor", 0)), int(given.get("limit", 50))
        more = start + limit < len(fit)
        return {"items": fit[start : start + limit], "next": str(start + limit) if more else None}

    def _run(self, request: Request, found: re.Match[str]) -> Any:
        one = next((run for run in self.runs if found[1] in {run["uid"], run["name"]}), None)
        return one or refusal(404, "run.not_found", f"there is no run {found[1]!r}")


def refusal(status: int, code: str, detail: str) -> Response:
    body = {"status": status, "code": code, "detail": detail, "title": detail}
    return Response(status, {"content-type": "application/problem+json"}, json.dumps(body).encode())


async def _chunks(queue: asyncio.Queue[Any]) -> AsyncIterator[bytes]:
    while (chunk := await queue.get()) is not _GONE:
        yield chunk
    raise ConnectionLost("the connection broke")


def new_app(daemon: FakeDaemon, view: str = "runs", **options: Any) -> FlowdaptApp:
    """Return an app on a fake daemon, at a fixed time."""
    app = FlowdaptApp(lambda: daemon, options=Options(**options), now=lambda: NOW, first=view)
    daemon.apps.append(app)
    return app
