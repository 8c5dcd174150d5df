"""The part of the SQL store that the switch needs: each promise of `ProfileStore` on a lane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowdapt.ports.profiles import ActiveExecutor, ProfileStore
from flowdapt.stores import profiles
from flowdapt.stores.lanes import WriterLane
from flowdapt.stores.reader_lane import ReaderLane

if TYPE_CHECKING:
    from flowdapt.domain.executor_profile import ExecutorProfile

__all__ = ["SqlProfiles"]


class SqlProfiles(ProfileStore):
    """Executor profiles and the active one."""

    _writer: WriterLane
    _reader: ReaderLane

    async def list_profiles(self) -> list[ExecutorProfile]:
        return await self._reader.read(profiles.list_)

    async def find_profile(self, name: str) -> ExecutorProfile | None:
        return await self._reader.read(lambda tx: profiles.find(tx, name))

    async def add_profile(self, profile: ExecutorProfile) -> ExecutorProfile:
        return await self._writer.write(lambda tx: profiles.add(tx, profile), durable=True)

    async def remove_profile(self, name: str) -> None:
        await self._writer.write(lambda tx: profiles.remove(tx, name), durable=True)

    async def active_executor(self) -> ActiveExecutor:
        return await self._reader.read(profiles.active)

    async def switch_executor(
        self, name: str, *, if_revision: int, add: ExecutorProfile | None = None
    ) -> ActiveExecutor:
        return await self._writer.write(
            lambda tx: profiles.switch(tx, name, if_revision, add), durable=True
        )

    async def count_pinned(self) -> Mapping[str, int]:
        return await self._reader.read(profiles.count_pinned)
