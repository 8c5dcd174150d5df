"""Keep executor profiles and the active executor in memory, with the promises of the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from flowdapt.domain.executor_facts import executor_added, executor_removed, executor_switched
from flowdapt.domain.executor_names import BUILT_IN_PROFILES
from flowdapt.ports.clock import Clock
from flowdapt.ports.profiles import FIRST_CHOICE, ActiveExecutor
from flowdapt.stores import refusals
from flowdapt.stores.memory_triggers import MemoryTriggers

if TYPE_CHECKING:
    from flowdapt.domain.executor_profile import ExecutorProfile

__all__ = ["MemoryProfiles"]


class MemoryProfiles(MemoryTriggers):
    """The part of the memory store that deals with executors."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._profiles: dict[str, ExecutorProfile] = {}
        self._active_executor = FIRST_CHOICE

    async def list_profiles(self) -> list[ExecutorProfile]:
        await trio.lowlevel.checkpoint()
        return [profile for _, profile in sorted(self._profiles.items())]

    async def find_profile(self, name: str) -> ExecutorProfile | None:
        await trio.lowlevel.checkpoint()
        return self._profiles.get(name)

    async def add_profile(self, profile: ExecutorProfile) -> ExecutorProfile:
        await trio.lowlevel.checkpoint()
        if profile.name in BUILT_IN_PROFILES or profile.name in self._profiles:
            raise refusals.profile_exists(profile.name)
        return self._keep_profile(profile)

    def _keep_profile(self, profile: ExecutorProfile) -> ExecutorProfile:
        kept = profile.model_copy(update={"created_at": self._clock.now()})
        self._profiles[profile.name] = kept
        self._journal.add(executor_added(profile.name, profile.kind))
        return kept

    async def remove_profile(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        if name not in self._profiles:
            raise refusals.no_profile(name)
        pointer, runs = self._active_executor, self._pinned().get(name, 0)
        if pointer.name == name or runs:
            raise refusals.profile_in_use(name, active=pointer.name == name, runs=runs)
        if pointer.previous == name:
            self._active_executor = ActiveExecutor(pointer.name, None, pointer.revision)
        gone = self._profiles.pop(name)
        self._journal.add(executor_removed(name, gone.kind))

    async def active_executor(self) -> ActiveExecutor:
        await trio.lowlevel.checkpoint()
        return self._active_executor

    async def switch_executor(
        self, name: str, *, if_revision: int, add: ExecutorProfile | None = None
    ) -> ActiveExecutor:
        await trio.lowlevel.checkpoint()
        before = self._active_executor
        if before.revision != if_revision:
            raise refusals.switched_meanwhile(before.name)
        old = self._profiles.get(add.name) if add is not None else None
        if add is not None and (add.name in BUILT_IN_PROFILES or not _same(old, add)):
            raise refusals.profile_exists(add.name)
        coming = add is not None and add.name == name
        if not (name in BUILT_IN_PROFILES or name in self._profiles or coming):
            raise refusals.no_profile(name)
        if add is not None and old is None:
            self._keep_profile(add)
        if name != before.name:
            self._active_executor = ActiveExecutor(name, before.name, before.revision + 1)
            self._journal.add(executor_switched(name, before.name))
        return self._active_executor

    async def count_pinned(self) -> Mapping[str, int]:
        await trio.lowlevel.checkpoint()
        return self._pinned()

    def _pinned(self) -> Counter[str]:
        runs = [held.run for held in self._runs.values()]
        return Counter(run.executor for run in runs if not run.state.terminal)


def _same(old: ExecutorProfile | None, new: ExecutorProfile) -> bool:
    return old is None or (old.kind, old.options) == (new.kind, new.options)
