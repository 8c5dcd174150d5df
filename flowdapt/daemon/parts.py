"""Make everything one daemon is made of: the one place that names concrete classes.

Nothing is started here. Imports happen in functions: what the settings do not ask for is not loaded.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from flowdapt.daemon import choices
from flowdapt.daemon.memory import sweep_memory
from flowdapt.paths import ensure_private_directory
from flowdapt.secrets import Secrets, take_from_environment

if TYPE_CHECKING:
    from flowdapt.api.backend import Backend
    from flowdapt.api.server import Deadlines
    from flowdapt.daemon.kinds import InstalledKinds
    from flowdapt.daemon.late import TriggerParts
    from flowdapt.domain.errors import FlowdaptError
    from flowdapt.ports.broker import Broker
    from flowdapt.ports.executor import Executor
    from flowdapt.services.chronicle import Chronicle
    from flowdapt.services.executors import Executors
    from flowdapt.services.lifecycle import Service
    from flowdapt.services.relay import Relay
    from flowdapt.services.switch import Switch
    from flowdapt.settings import Settings

__all__ = ["Parts"]

# A shorter secret is everywhere in any text.
MASK_MIN_CHARS = 4


class SecretDelivery:
    """Give secrets to the stages that declare them (`services.driver.SecretSource`)."""

    def __init__(self, secrets: Secrets, masks: set[str]) -> None:
        self._secrets = secrets
        self._masks = masks

    async def get_many(self, names: tuple[str, ...]) -> Mapping[str, str]:
        """Return the values; what was given out once is masked in the daemon's log from then on."""
        values = await trio.to_thread.run_sync(
            lambda: {name: self._secrets.get(name) for name in names}
        )
        self._masks.update(value for value in values.values() if len(value) >= MASK_MIN_CHARS)
        return values


class Parts:
    """Everything one daemon is made of, made but not started."""

    def __init__(self, settings: Settings, masks: set[str]) -> None:
        from flowdapt.api.guard import Framework, Guard
        from flowdapt.plugins.manager import Plugins
        from flowdapt.runtime.artifact_store import ArtifactStore
        from flowdapt.services.clock import SystemClock
        from flowdapt.services.measures import Measures
        from flowdapt.stores.factory import create_store
        from flowdapt.stores.logs import FileLogStore
        from flowdapt.stores.values import FileValueStore

        paths = settings.paths
        self.settings = settings
        self._masks = masks
        self.owner = choices.owner(settings)
        self.clock = SystemClock()
        self.plugins = Plugins()
        self.secrets = Secrets(paths.secrets_file, environ=take_from_environment(os.environ))
        database_url = self.secrets.expand(settings.database.url)
        choices.refuse_risky_database(database_url, insecure=settings.database.insecure)
        self.store = create_store(
            database_url,
            data_dir=paths.data,
            clock=self.clock,
            readers=settings.database.readers,
            give_up=self._give_up,
        )
        self.broker = self._broker()
        values_root = ensure_private_directory(paths.data / "values")
        self.values = FileValueStore(values_root)
        self.logs = FileLogStore(values_root, cap_bytes=settings.limits.log_bytes)
        self.artifacts = ArtifactStore(settings.artifacts_url)
        self.measures = Measures()
        self._make_services(masks)
        self.framework = Framework()
        self.backend = self._backend()
        self.app = Guard(self.framework, self.backend)

    def _give_up(self, error: FlowdaptError) -> None:
        self.lifecycle.give_up(error)

    def _report(self, part: str, trouble: str | None) -> None:
        self.health.tell(part, trouble)

    def _broker(self) -> Broker:
        url = self.secrets.expand(self.settings.broker.url)
        kind = urlsplit(url).scheme
        if kind == "inprocess":
            return self.plugins.broker(kind)()
        settings = self.settings.broker
        choices.refuse_risky_broker(url, insecure=settings.insecure)
        make: Callable[..., Broker] = choices.broker_class(self.plugins, kind)
        return make(url, prefix=settings.prefix)

    def _local_executor(self) -> Executor:
        from flowdapt.plugins.executors.local.options import LocalOptions

        local = self.settings.local
        options = LocalOptions(
            memory_bytes=local.memory,
            gpus=local.gpus,
            custom=local.resources,
            idle_timeout_s=local.idle_timeout,
            warm=1,
        )
        if local.slots is not None:
            options = replace(options, slots=local.slots, cpus=float(local.slots))
        make: Callable[..., Executor] = self.plugins.executor("local")
        return make(options, self.environment)

    def _executors(self) -> Executors:
        from flowdapt.services.executors import Executors

        return Executors(
            store=self.store,
            broker=self.broker,
            find_kinds=cache(self._kinds),
            local=self._local_executor,
            report=self._report,
            drives=self.settings.services.compute,
            alone=self.settings.on_sqlite,
        )

    def _kinds(self) -> InstalledKinds:
        from flowdapt.daemon.kinds import InstalledKinds

        return InstalledKinds(self.plugins, self.environment, self._expand)

    def _expand(self, text: str) -> str:
        """Fill in secrets; what is made of them is masked in the log from then on."""
        expanded = self.secrets.expand(text)
        if expanded != text and len(expanded) >= MASK_MIN_CHARS:
            self._masks.add(expanded)
        return expanded

    def _switch(self) -> Switch:
        from flowdapt.services.switch import Switch

        return Switch(store=self.store, executors=self.executors)

    def _make_services(self, masks: set[str]) -> None:
        from flowdapt.api.stream import framed
        from flowdapt.daemon.actions import Actions
        from flowdapt.daemon.late import LateTriggers
        from flowdapt.services.checkup import find_problems
        from flowdapt.services.compute import Compute
        from flowdapt.services.driver import DriverTools
        from flowdapt.services.feed import Feed
        from flowdapt.services.health import Health
        from flowdapt.services.lifecycle import Lifecycle
        from flowdapt.services.resources import Resources
        from flowdapt.services.retention import Retention
        from flowdapt.services.runs import Runs

        settings, store, broker = self.settings, self.store, self.broker
        self.environment = choices.environment(settings, self.plugins)
        self.executors = self._executors()
        self.find_switch = cache(self._switch)
        tools = DriverTools(
            store,
            broker,
            self.logs,
            self.values,
            self.clock,
            SecretDelivery(self.secrets, masks),
            settings.local.start_timeout,
        )
        self.actions = Actions(
            self.plugins, allowed=settings.webhooks.allowed, secret=self.secrets.get
        )
        self.triggers = LateTriggers(self._trigger_parts)
        alone = settings.on_sqlite
        disk = choices.disk(settings)
        self.compute = Compute(
            tools, self.executors, owner=self.owner, alone=alone, has_room=disk.has_room
        )
        self.resources = Resources(
            store=store,
            broker=broker,
            allowed_targets=settings.targets.allowed,
            known_resources=tuple(settings.local.resources),
            sole_writer=alone,
            actions=self.actions.models,
            clock=self.clock,
        )
        self.runs = Runs(
            store=store,
            broker=broker,
            values=self.values,
            logs=self.logs,
            clock=self.clock,
            catalog=self.resources,
            engine=self.compute if settings.services.compute else None,
            executors=self.executors,
            max_queued=settings.limits.max_queued_runs,
        )
        self.health = Health(
            choices.about(settings),
            store=store,
            clock=self.clock,
            executors=self.executors,
            disk=disk,
            triggers=lambda: self.triggers.counts,
        )
        self.feed = Feed(store=store, broker=broker, frame=framed)
        self.retention = Retention(
            store=store,
            values=self.values,
            logs=self.logs,
            clock=self.clock,
            keeping=choices.keeping(settings),
            backups=choices.backups(settings),
            sweep_artifacts=choices.in_thread(self.artifacts.sweep),
        )
        self.lifecycle = Lifecycle(
            store=store,
            compute=self.compute,
            triggers=self.triggers,
            health=self.health,
            retention=self.retention,
            owner=self.owner,
            drain_timeout_s=settings.drain_timeout,
            close_files=self.logs.close,
            find_problems=partial(find_problems, store, self.values),
        )

    def _trigger_parts(self) -> TriggerParts:
        from flowdapt.daemon.late import TriggerParts
        from flowdapt.services.deliveries import Deliveries
        from flowdapt.services.firing import Firing
        from flowdapt.services.planning import Planner
        from flowdapt.services.submission import Submitter
        from flowdapt.services.trigger_requests import TriggerRequests
        from flowdapt.services.triggers import Triggers

        store, broker, clock = self.store, self.broker, self.clock
        submitter = Submitter(
            store=store,
            broker=broker,
            values=self.values,
            clock=clock,
            engine=self.compute if self.settings.services.compute else None,
            executors=self.executors,
            max_queued=self.settings.limits.max_queued_runs,
        )
        planner = Planner(submitter, self.resources)
        firing = Firing(store=store, broker=broker, planner=planner, submitter=submitter)
        report = partial(self.health.tell, "triggers")
        return TriggerParts(
            Triggers(store=store, broker=broker, clock=clock, firing=firing, report=report),
            TriggerRequests(
                store=store, broker=broker, clock=clock, firing=firing, planner=planner
            ),
            Deliveries(store=store, broker=broker, clock=clock, action=self.actions.get),
        )

    def _backend(self) -> Backend:
        from flowdapt.api.backend import ApiLimits, Backend

        limits = self.settings.limits
        return Backend(
            runs=self.runs,
            resources=self.resources,
            find_triggers=lambda: self.triggers.get().requests,
            store=self.store,
            logs=self.logs,
            broker=self.broker,
            feed=self.feed,
            secrets=self.secrets,
            artifacts=self.artifacts,
            health=self.health,
            measures=self.measures,
            control=self.lifecycle,
            executors=self.executors,
            find_switch=self.find_switch,
            plugins=self.plugins.plugins,
            limits=ApiLimits(limits.body, limits.artifact, self.settings.api.keep_alive),
        )

    def _chronicle(self) -> Chronicle:
        from flowdapt.services.chronicle import Chronicle

        return Chronicle(store=self.store, broker=self.broker, health=self.health, owner=self.owner)

    def _relay(self) -> Relay:
        from flowdapt.services.relay import Relay

        report = partial(self.health.tell, "broker")
        return Relay(store=self.store, broker=self.broker, clock=self.clock, report=report)

    def deadlines(self) -> Deadlines:
        from flowdapt.api.server import Deadlines

        api = self.settings.api
        return Deadlines(read_s=api.read_timeout, idle_s=api.idle_timeout)

    def services(self) -> Iterator[tuple[str, Service]]:
        """Yield what is to be started, in order; the API comes last."""
        yield "broker", self.broker.run
        yield "executors", self.executors.run
        if self.settings.services.compute:
            yield "compute", self.compute.run
        if self.settings.services.triggers:
            yield "triggers", self.triggers.run_triggers
            yield "deliveries", self.triggers.run_deliveries
        if self.broker.carries_events:
            yield "relay", self._relay().run
        yield "feed", self.feed.run
        yield "chronicle", self._chronicle().run
        yield "measures", partial(self.measures.run, self.broker)
        yield "health", self.health.run
        yield "retention", self.retention.run

    async def settle(self) -> None:
        """Do what is better done after the daemon is ready than before."""
        self.triggers.begin()
        await self.framework.load()
        await trio.to_thread.run_sync(self.measures.load)
        await trio.to_thread.run_sync(sweep_memory)
        # What is here now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.enable()
