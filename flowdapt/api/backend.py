"""Decide what the routes may reach: the services of this daemon, handed over as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import trio

from flowdapt.plugins.manager import PluginInfo
from flowdapt.ports.broker import Broker
from flowdapt.ports.logs import LogStore
from flowdapt.ports.store import Store
from flowdapt.runtime.artifact_store import ArtifactStore
from flowdapt.secrets import Secrets
from flowdapt.services.executors import Executors
from flowdapt.services.feed import Feed
from flowdapt.services.health import Health
from flowdapt.services.measures import Measures
from flowdapt.services.resources import Resources
from flowdapt.services.runs import Runs

if TYPE_CHECKING:
    from flowdapt.services.switch import Switch
    from flowdapt.services.trigger_requests import TriggerRequests

__all__ = ["ApiLimits", "Backend", "Control"]


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """What a request may cost."""

    body_bytes: int = 1024**2
    artifact_bytes: int = 64 * 1024**2
    keep_alive_s: float = 15.0


class Control(Protocol):
    """What the routes may ask of the daemon as a whole (`daemon.py`)."""

    def drain(self, *, now: bool) -> None:
        """End the daemon: nothing new, running stages may end first unless `now`."""
        ...

    def undrain(self) -> None:
        """Take work again. Raise Conflict when it is too late."""
        ...

    async def collect_garbage(self, *, dry_run: bool) -> Mapping[str, Any]: ...

    async def backup(self) -> Mapping[str, Any]: ...

    async def check(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """Everything a request may need. `stopping` ends streams when the daemon stops."""

    runs: Runs
    resources: Resources
    # Made when it is first asked for: what rules need is not loaded before.
    find_triggers: Callable[[], TriggerRequests]
    store: Store
    logs: LogStore
    broker: Broker
    feed: Feed
    secrets: Secrets
    artifacts: ArtifactStore
    health: Health
    measures: Measures
    control: Control
    executors: Executors
    # As with triggers: nobody switches before the daemon is ready.
    find_switch: Callable[[], Switch]
    plugins: Callable[[], Sequence[PluginInfo]]
    limits: ApiLimits = ApiLimits()
    stopping: trio.Event = field(default_factory=trio.Event)
    # Answers to questions are made a few at a time: the loop stays free for health, ends and starts.
    questions: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(8))
    # Transfers wait for their client: they get threads of their own, and few.
    transfers: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(8))

    @property
    def triggers(self) -> TriggerRequests:
        """Return the requests about triggers."""
        return self.find_triggers()

    @property
    def switch(self) -> Switch:
        """Return what checks executors and switches between them."""
        return self.find_switch()
