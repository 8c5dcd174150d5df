"""Executors over a memory store on trio's clock, with compute, runs and the switch beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from flowdapt.domain.executor_profile import NewProfile, Switched, SwitchRequest
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.domain.run import Run, RunRequest
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.store import ResourceWrite
from flowdapt.services.compute import Compute
from flowdapt.services.driver import DriverTools
from flowdapt.services.executors import Executors
from flowdapt.services.runs import Runs
from flowdapt.services.switch import Switch
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor, FakeKinds, MemoryLogs, MemoryValues
from tests.services.test_compute import Workflows, stage

IDLE_S = 60.0


@dataclass
class Yard:
    """One daemon's executors. `cluster` is what the next opening of a cluster gets."""

    store: MemoryStore
    broker: InProcessBroker
    kinds: FakeKinds
    executors: Executors
    switch: Switch
    runs: Runs
    workflows: Workflows
    compute: Compute
    nursery: trio.Nursery
    troubles: dict[str, str] = field(default_factory=dict)

    @property
    def made(self) -> list[FakeExecutor]:
        """Return every cluster that was made, the newest last."""
        return [one for one in self.kinds.made if isinstance(one, FakeExecutor)]

    async def add(self, name: str = "lab", kind: str = "dask", **options: Any) -> None:
        await self.executors.add(NewProfile(name=name, kind=kind, options=options))

    async def use(self, name: str, **more: Any) -> Switched:
        return await self.switch.switch(SwitchRequest(name=name, **more))

    async def state(self, name: str) -> str:
        return (await self.executors.view(name)).state

    async def submit(self, executor: str | None = None, workflow: str = "w") -> Run:
        run, _ = await self.runs.submit(workflow, RunRequest(executor=executor))
        return run

    async def ended(self, run: Run, timeout_s: float = 3600) -> Run:
        return await self.runs.wait(run.uid, timeout_s=timeout_s)

    async def why(self, run: Run) -> str:
        return " / ".join(reason.message for reason in await self.runs.explain(run.uid))

    async def told(self, *, but: str = "local") -> list[str]:
        """Return what the journal tells of executors, but of the local one."""
        events = [one for one in await self.store.list_events() if ".executor." in one.type]
        return [
            f"{event.type.rpartition('.')[2]} {event.data['name']}"
            for event in events
            if event.data["name"] != but or "switched" in event.type
        ]

    async def keep(self, name: str, **resources: float) -> None:
        """Store a workflow's document, as a check looks at it."""
        spec = {"stages": [{"name": "only", "target": "m.a", "resources": resources}]}
        resource = Resource(kind="workflow", metadata=Metadata(name=name), spec=spec)
        await self.store.apply([ResourceWrite(resource)])


@asynccontextmanager
async def yard(
    store: MemoryStore | None = None,
    *,
    make: Callable[[dict[str, Any]], FakeExecutor] = lambda _options: FakeExecutor(),
    local: Callable[[], FakeExecutor] = FakeExecutor,
    owner: str = "one",
    alone: bool = True,
    patience_s: float = 10.0,
    broker: InProcessBroker | None = None,
) -> AsyncIterator[Yard]:
    """Serve executors and runs; `store` outlives it, as over a restart."""
    clock = FakeClock()
    store = store or MemoryStore(clock)
    broker = broker or InProcessBroker()
    troubles: dict[str, str] = {}

    def report(part: str, trouble: str | None) -> None:
        troubles.pop(part, None)
        if trouble is not None:
            troubles[part] = trouble

    kinds = FakeKinds({"dask": make, "ray": make, "grid": make}, patience_s=patience_s)
    executors = Executors(
        store=store, broker=broker, find_kinds=lambda: kinds, local=local, report=report, alone=alone,
        idle_s=IDLE_S,
    )  # fmt: skip
    logs, values, workflows = MemoryLogs(), MemoryValues(), Workflows()
    workflows.add("w", stage("a"))
    compute = Compute(
        DriverTools(store, broker, logs, values, clock), executors, owner=owner, alone=alone
    )
    runs = Runs(
        store=store, broker=broker, values=values, logs=logs, clock=clock, catalog=workflows,
        engine=compute, executors=executors,
    )  # fmt: skip
    switch = Switch(store=store, executors=executors)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: executors.run(task_status=task_status))
        await nursery.start(lambda task_status: compute.run(task_status=task_status))
        yield Yard(
            store, broker, kinds, executors, switch, runs, workflows, compute, nursery, troubles
        )
        nursery.cancel_scope.cancel()
