"""Make everything one daemon is made of: the one place that names concrete classes.

Nothing is started here. Imports happen in functions: what the settings do not ask for is not loaded.
"""

from __future__ import annotations

import gc
import hashlib
import os
import secrets as entropy
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from flowdapt import __version__
from flowdapt.domain.errors import FlowdaptError
from flowdapt.paths import Paths, ensure_private_directory
from flowdapt.secrets import Secrets, take_from_environment

if TYPE_CHECKING:
    from flowdapt.api.backend import Backend
    from flowdapt.api.server import Deadlines
    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.plugins.manager import Plugins
    from flowdapt.ports.broker import Broker
    from flowdapt.ports.executor import Executor
    from flowdapt.services.health import About, DiskWatch
    from flowdapt.services.lifecycle import Service
    from flowdapt.services.retention import Backups, Keeping
    from flowdapt.settings import Settings

__all__ = ["Parts", "in_background"]

BACKGROUND = "FLOWDAPT_BACKGROUND"
# A shorter secret is everywhere in any text.
MASK_MIN_CHARS = 4
DEFAULT_EXECUTOR = "local"


def in_background() -> bool:
    """Say whether `flowdapt up` started this process and went away."""
    return os.environ.get(BACKGROUND) == "1"


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
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{entropy.token_hex(4)}"
        self.clock = SystemClock()
        self.plugins = Plugins()
        self.secrets = Secrets(paths.secrets_file, environ=take_from_environment(os.environ))
        self.store = create_store(
            self.secrets.expand(settings.database.url),
            data_dir=paths.data,
            clock=self.clock,
            readers=settings.database.readers,
        )
        self.broker = self._broker()
        values_root = ensure_private_directory(paths.data / "values")
        self.values = FileValueStore(values_root)
        self.logs = FileLogStore(values_root, cap_bytes=settings.limits.log_bytes)
        self.executors: dict[str, Executor] = {DEFAULT_EXECUTOR: self._local_executor()}
        self.artifacts = ArtifactStore(settings.artifacts_url)
        self.measures = Measures()
        self._make_services(masks)
        self.framework = Framework()
        self.backend = self._backend()
        self.app = Guard(self.framework, self.backend)

    def _broker(self) -> Broker:
        url = self.secrets.expand(self.settings.broker.url)
        kind = urlsplit(url).scheme
        if kind == "inprocess":
            return self.plugins.broker(kind)()
        make: Callable[..., Broker] = self.plugins.broker(kind)
        return make(url)

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
        return make(options, _environment(self.settings, self.plugins))

    def _make_services(self, masks: set[str]) -> None:
        from flowdapt.services.compute import Compute
        from flowdapt.services.driver import DriverTools
        from flowdapt.services.health import Health
        from flowdapt.services.lifecycle import Lifecycle
        from flowdapt.services.resources import Resources
        from flowdapt.services.retention import Retention
        from flowdapt.services.runs import Runs

        settings, store, broker = self.settings, self.store, self.broker
        tools = DriverTools(
            store, broker, self.logs, self.values, self.clock, SecretDelivery(self.secrets, masks)
        )
        alone = settings.on_sqlite
        self.compute = Compute(tools, self.executors, owner=self.owner, alone=alone)
        self.resources = Resources(
            store=store,
            broker=broker,
            allowed_targets=settings.targets.allowed,
            known_resources=tuple(settings.local.resources),
            sole_writer=alone,
        )
        self.runs = Runs(
            store=store,
            broker=broker,
            values=self.values,
            logs=self.logs,
            clock=self.clock,
            catalog=self.resources,
            engine=self.compute if settings.services.compute else None,
            max_queued=settings.limits.max_queued_runs,
        )
        self.health = Health(
            _about(settings),
            store=store,
            clock=self.clock,
            executors=self.executors,
            active_executor=lambda: DEFAULT_EXECUTOR,
            disk=_disk(settings),
            slots=self.compute.slots,
        )
        self.retention = Retention(
            store=store,
            values=self.values,
            logs=self.logs,
            clock=self.clock,
            keeping=_keeping(settings),
            backups=_backups(settings),
            sweep_artifacts=self.artifacts.sweep,
        )
        self.lifecycle = Lifecycle(
            store=store,
            compute=self.compute,
            health=self.health,
            retention=self.retention,
            owner=self.owner,
            drain_timeout_s=settings.drain_timeout,
            close_files=self.logs.close,
        )

    def _backend(self) -> Backend:
        from flowdapt.api.backend import ApiLimits, Backend

        limits = self.settings.limits
        return Backend(
            runs=self.runs,
            resources=self.resources,
            store=self.store,
            logs=self.logs,
            broker=self.broker,
            secrets=self.secrets,
            artifacts=self.artifacts,
            health=self.health,
            measures=self.measures,
            control=self.lifecycle,
            executors=self.executors,
            plugins=self.plugins.plugins,
            limits=ApiLimits(limits.body, limits.artifact, self.settings.api.keep_alive),
        )

    def deadlines(self) -> Deadlines:
        from flowdapt.api.server import Deadlines

        api = self.settings.api
        return Deadlines(read_s=api.read_timeout, idle_s=api.idle_timeout)

    def services(self) -> Iterator[tuple[str, Service]]:
        """Yield what is to be started, in order; the API comes last."""
        yield "broker", self.broker.run
        for name, executor in self.executors.items():
            yield f"executor {name}", executor.run
        if self.settings.services.compute:
            yield "compute", self.compute.run
        yield "measures", partial(self.measures.run, self.broker)
        yield "health", self.health.run
        yield "retention", self.retention.run

    async def settle(self) -> None:
        """Do what is better done after the daemon is ready than before."""
        await self.framework.load()
        await trio.to_thread.run_sync(self.measures.load)
        # What is here now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()


def _environment(settings: Settings, plugins: Plugins) -> WorkerEnvironment:
    from flowdapt.domain.task import WorkerEnvironment

    paths = settings.paths
    work = ensure_private_directory(paths.data / "work")
    return WorkerEnvironment(
        values_root=str(ensure_private_directory(paths.data / "values")),
        artifacts_url=settings.artifacts_url,
        memory_root=str(_memory_directory(paths)),
        user_modules=str(paths.user_modules),
        python_path=tuple(str(path.expanduser().absolute()) for path in settings.python_path),
        extensions=plugins.worker_extensions(),
        cwd=str(work),
        max_output_bytes=settings.local.max_output,
    )


def _memory_directory(paths: Paths) -> Path:
    """Return a directory in memory where there is one of our own, else one beside the data."""
    mark = hashlib.sha256(os.fsencode(paths.data)).hexdigest()[:12]
    shared = Path("/dev/shm")  # noqa: S108 -- made 0700 and checked below
    if shared.is_dir() and os.access(shared, os.W_OK):
        with suppress(FlowdaptError):
            return ensure_private_directory(shared / f"flowdapt-{os.geteuid()}-{mark}", strict=True)
    return ensure_private_directory(paths.data / "memory")


def _about(settings: Settings) -> About:
    from flowdapt.services.health import About

    return About(
        version=__version__,
        socket=str(settings.paths.socket),
        database=_without_password(settings.database_url),
        broker=_without_password(settings.broker.url),
        artifacts=_without_password(settings.artifacts_url),
        data_dir=str(settings.paths.data),
        log_file=str(settings.paths.log_file) if in_background() else None,
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def _disk(settings: Settings) -> DiskWatch:
    from flowdapt.services.health import DiskWatch

    storage = settings.storage
    return DiskWatch(settings.paths.data, warn_bytes=storage.warn_free, min_bytes=storage.min_free)


def _keeping(settings: Settings) -> Keeping:
    from flowdapt.services.retention import Keeping

    retention = settings.retention
    return Keeping(
        enabled=retention.enabled,
        max_age_s=retention.max_age,
        per_workflow=retention.keep_per_workflow,
        daily_backup=settings.backup.daily,
    )


def _backups(settings: Settings) -> Backups | None:
    if not settings.on_sqlite:
        return None
    from flowdapt.services.retention import Backups
    from flowdapt.stores import backup

    directory = settings.paths.backups

    def newest() -> float | None:
        found = backup.list_backups(directory)
        return found[0].stat().st_mtime if found else None

    return Backups(
        new_file=lambda now: directory / backup.file_name(now),
        newest=newest,
        prune=lambda: backup.prune(directory, keep=settings.backup.keep),
    )
