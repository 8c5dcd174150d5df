"""A trigger service over a memory store on trio's clock, with what its tests ask of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import trio

from flowdapt.domain.events import Event, EventDraft
from flowdapt.domain.fire import Fire
from flowdapt.domain.records import RunChange, RunRecord
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.domain.run import RunState
from flowdapt.domain.trigger import TriggerRuleSpec
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import EVENT_ADDED, RUN_ENDED, Message
from flowdapt.ports.store import ResourceWrite, RunFilter, Store
from flowdapt.services.firing import Firing
from flowdapt.services.given import GivenExecutors
from flowdapt.services.planning import Planner
from flowdapt.services.resources import Resources
from flowdapt.services.submission import Submitter
from flowdapt.services.trigger_requests import TriggerRequests
from flowdapt.services.triggers import Triggers
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor, MemoryValues
from flowdapt.testing.store_records import finish, patch_of

START = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOW = {
    "kind": "workflow",
    "metadata": {"name": "train"},
    "spec": {"stages": [{"name": "only", "target": "builtins.dict"}]},
}
RUN_TRAIN = {"target": "run_workflow", "parameters": {"workflow": "train"}}


def at(seconds: float = 0, **parts: float) -> datetime:
    return START + timedelta(seconds=seconds, **parts)


@dataclass
class Tower:
    """The trigger service and what it stands on. No run is driven: tests end them."""

    store: Store
    broker: InProcessBroker
    clock: FakeClock
    resources: Resources
    triggers: Triggers
    firing: Firing
    requests: TriggerRequests

    async def rule(self, name: str = "rule", **spec: Any) -> None:
        """Apply a rule; it starts a run of `train` each minute unless `spec` says otherwise."""
        given = {"type": "schedule", "rule": ["* * * * *"], "actions": [RUN_TRAIN], **spec}
        checked = TriggerRuleSpec.model_validate(given)
        await self.stored_rule(name, checked.model_dump(mode="json", exclude_defaults=True))

    async def stored_rule(self, name: str, checked: dict[str, Any]) -> None:
        """Store a rule as it is, whatever it means."""
        resource = Resource(kind="trigger_rule", metadata=Metadata(name=name), spec=checked)
        await self.store.apply([ResourceWrite(resource)])
        self.broker.publish(Message(EVENT_ADDED, "com.event.resource.applied"))
        await trio.sleep(0.01)

    async def event(self, kind: str = "mine", depth: int = 0, data: str = "{}") -> Event:
        draft = EventDraft(kind, "test", data, causation_depth=depth)
        event = await self.store.add_event(draft)
        self.broker.publish(Message(EVENT_ADDED, kind))
        return event

    async def fires(self, rule: str = "rule") -> list[Fire]:
        """Return the fires of a rule, oldest first."""
        return (await self.store.list_fires(rule=rule, limit=500)).items[::-1]

    async def slots(self, rule: str = "rule") -> list[tuple[datetime | None, str, str | None]]:
        return [(f.scheduled_at, f.state.value, f.reason) for f in await self.fires(rule)]

    async def runs(self) -> list[RunRecord]:
        return (await self.store.list_runs(RunFilter(sort="created"), limit=500)).items

    async def finish(self, uid: str, state: RunState = RunState.FINISHED) -> None:
        """End a run as compute would."""
        (loaded,) = [one for one in await self.store.claim("me", limit=500) if one.run.uid == uid]
        if state is RunState.FINISHED:
            await finish(self.store, loaded.run, loaded.stages)
        else:
            change = RunChange(uid, loaded.run.epoch, first_seq=loaded.run.next_seq)
            change.run = patch_of(loaded.run, state)
            await self.store.commit(change)
        self.broker.publish(Message(RUN_ENDED, uid))


@asynccontextmanager
async def tower(
    store: Store | None = None,
    *,
    clock: FakeClock | None = None,
    documents: Sequence[dict[str, Any]] = (WORKFLOW,),
    serving: bool = True,
) -> AsyncIterator[Tower]:
    """Run a trigger service; `store` and `clock` outlive it, as over a restart."""
    clock = clock or FakeClock(START)
    store = store or MemoryStore(clock)
    broker = InProcessBroker()
    resources = Resources(store=store, broker=broker)
    submitter = Submitter(
        store=store, broker=broker, values=MemoryValues(), clock=clock, engine=None,
        executors=GivenExecutors({"local": FakeExecutor()}), max_queued=1000,
    )  # fmt: skip
    planner = Planner(submitter, resources)
    firing = Firing(store=store, broker=broker, planner=planner, submitter=submitter)
    requests = TriggerRequests(
        store=store, broker=broker, clock=clock, firing=firing, planner=planner
    )
    triggers = Triggers(store=store, broker=broker, clock=clock, firing=firing)
    if documents:
        await resources.apply(list(documents))
    async with trio.open_nursery() as nursery:
        if serving:
            await nursery.start(triggers.run)
        yield Tower(store, broker, clock, resources, triggers, firing, requests)
        nursery.cancel_scope.cancel()
