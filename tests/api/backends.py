"""A whole API over a real database in a temporary directory, with an executor of the test's own."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import trio

from flowdapt.api.backend import ApiLimits, Backend
from flowdapt.api.guard import Framework, Guard
from flowdapt.api.server import Deadlines, Server
from flowdapt.api.socket import UnixSocket
from flowdapt.api.stream import framed
from flowdapt.domain.events import EventDraft
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.plugins.manager import PluginInfo
from flowdapt.runtime.artifact_store import ArtifactStore
from flowdapt.secrets import Secrets
from flowdapt.services.clock import SystemClock
from flowdapt.services.compute import Compute
from flowdapt.services.driver import DriverTools
from flowdapt.services.executors import Executors
from flowdapt.services.feed import Feed
from flowdapt.services.firing import Firing
from flowdapt.services.health import About, DiskWatch, Health
from flowdapt.services.measures import Measures
from flowdapt.services.planning import Planner
from flowdapt.services.resources import Resources
from flowdapt.services.runs import Runs
from flowdapt.services.submission import Submitter
from flowdapt.services.switch import Switch
from flowdapt.services.trigger_requests import TriggerRequests
from flowdapt.stores.factory import create_store
from flowdapt.testing import FakeExecutor, FakeKinds, MemoryLogs, MemoryValues

WORKFLOW = """
kind: workflow
metadata: {name: %s}
spec:
  stages:
    - {name: only, target: some.module.stage}
"""


class NoControl:
    """The daemon's own switches, noted and not pulled."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def drain(self, *, now: bool) -> None:
        self.calls.append(("drain", now))

    def undrain(self) -> None:
        self.calls.append(("undrain", None))

    async def collect_garbage(self, *, dry_run: bool) -> dict[str, Any]:
        return {"runs": 0, "orphans": 0, "dry_run": dry_run}

    async def backup(self) -> dict[str, Any]:
        return {"path": "/somewhere", "size_bytes": 1}

    async def check(self) -> list[str]:
        return []


class QuietExecutors(Executors):
    """Opens and switches, and leaves the journal to the tests."""

    def _tell(self, event: EventDraft) -> None:
        pass


@dataclass
class Api:
    """One API under test: `client` reaches it without a socket, `connect` through one."""

    backend: Backend
    executor: FakeExecutor
    kinds: FakeKinds
    logs: MemoryLogs
    control: NoControl
    app: Guard
    client: httpx.AsyncClient
    home: Path
    server: Server | None = None
    socket_path: Path | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    async def apply(self, name: str = "flow", text: str = "") -> httpx.Response:
        body = text or WORKFLOW % name
        return await self.client.post(
            "/api/v1/apply", content=body, headers={"content-type": "application/yaml"}
        )

    async def run(self, name: str = "flow", **body: Any) -> dict[str, Any]:
        answer = await self.client.post(
            f"/api/v1/workflows/{name}/runs", json=body, headers={"prefer": "wait=10"}
        )
        assert answer.status_code in (200, 202), answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def running_api(
    *,
    listen: bool = False,
    limits: ApiLimits | None = None,
    deadlines: Deadlines | None = None,
    connections_max: int = 100,
) -> AsyncIterator[Api]:
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        home = Path(folder)
        clock, broker, logs, values = SystemClock(), InProcessBroker(), MemoryLogs(), MemoryValues()
        store = create_store("", data_dir=home, clock=clock)
        await store.open()
        executor = FakeExecutor()
        kinds = FakeKinds({kind: lambda _options: FakeExecutor() for kind in ("dask", "ray")})
        executors = QuietExecutors(
            store=store, broker=broker, find_kinds=lambda: kinds, local=lambda: executor
        )
        switch = Switch(store=store, executors=executors)
        owner = f"test-{secrets.token_hex(4)}"
        compute = Compute(DriverTools(store, broker, logs, values, clock), executors, owner=owner)
        resources = Resources(store=store, broker=broker)
        runs = Runs(
            store=store, broker=broker, values=values, logs=logs, clock=clock,
            catalog=resources, engine=compute, executors=executors,
        )  # fmt: skip
        submitter = Submitter(
            store=store, broker=broker, values=values, clock=clock, engine=compute,
            executors=executors, max_queued=10_000,
        )  # fmt: skip
        planner = Planner(submitter, resources)
        firing = Firing(store=store, broker=broker, planner=planner, submitter=submitter)
        triggers = TriggerRequests(
            store=store, broker=broker, clock=clock, firing=firing, planner=planner
        )
        about = About("0", "/s", "sqlite", "inprocess", "file:", folder, None)
        health = Health(
            about, store=store, clock=clock, executors=executors,
            disk=DiskWatch(home, warn_bytes=0, min_bytes=0),
        )  # fmt: skip
        health.ready = True
        control = NoControl()
        backend = Backend(
            runs=runs, resources=resources, find_triggers=lambda: triggers, store=store, logs=logs, broker=broker,
            feed=Feed(store=store, broker=broker, frame=framed),
            secrets=Secrets(home / "secrets" / "s.json", environ={}, keyring=lambda: None),
            artifacts=ArtifactStore(str(home / "artifacts")), health=health, measures=Measures(),
            control=control, executors=executors, find_switch=lambda: switch,
            plugins=lambda: [PluginInfo("builtin", builtin=True, provides=("executor:local",))],
            limits=limits or ApiLimits(),
        )  # fmt: skip
        app = Guard(Framework(), backend)
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(executors.run)
            await nursery.start(compute.run)
            await nursery.start(backend.measures.run, broker)
            await nursery.start(backend.feed.run)
            api = Api(backend, executor, kinds, logs, control, app, client, home)
            bound = None
            if listen:
                bound = UnixSocket(home / "run" / "s")
                api.socket_path = bound.path
                api.server = Server(
                    app, bound.socket, deadlines=deadlines, connections_max=connections_max
                )
                await nursery.start(api.server.run)
            try:
                yield api
            finally:
                backend.stopping.set()
                nursery.cancel_scope.cancel()
                if bound is not None:
                    bound.close()
        with trio.CancelScope(shield=True):
            await store.close()


async def connected(api: Api) -> trio.SocketStream:
    assert api.socket_path is not None
    return await trio.open_unix_socket(api.socket_path)


async def exchange(api: Api, request: bytes, *, timeout_s: float = 20.0) -> bytes:
    """Send raw bytes and return everything that comes until the other end closes or falls silent."""
    received = b""
    async with await connected(api) as link:
        with trio.fail_after(timeout_s):
            with suppress(trio.BrokenResourceError):
                await link.send_all(request)
            return await read_all(link, received)


async def read_all(
    link: trio.SocketStream, received: bytes = b"", *, silence_s: float = 1.0
) -> bytes:
    with suppress(trio.BrokenResourceError):
        while True:
            piece = b""
            with trio.move_on_after(silence_s):
                piece = await link.receive_some()
            if not piece:
                return received
            received += piece
    return received
