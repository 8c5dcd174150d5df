"""Promise what the switch needs of a store: executor profiles, and which executor is the active one.

A further part of `flowdapt.ports.store.Store`, whose general promises hold here too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from flowdapt.domain.executor_names import LOCAL

if TYPE_CHECKING:
    from flowdapt.domain.executor_profile import ExecutorProfile

__all__ = ["FIRST_CHOICE", "ActiveExecutor", "ProfileStore"]


class ActiveExecutor(msgspec.Struct, frozen=True):
    """Where runs go that name no executor. `revision` counts the switches, from 0."""

    name: str
    previous: str | None = None
    revision: int = 0


FIRST_CHOICE = ActiveExecutor(LOCAL)


class ProfileStore(ABC):
    """Executor profiles and the pointer to the active one."""

    @abstractmethod
    async def list_profiles(self) -> list[ExecutorProfile]:
        """Return the stored profiles by name, ascending; built-in ones are not among them."""

    @abstractmethod
    async def find_profile(self, name: str) -> ExecutorProfile | None:
        """Return the stored profile, or None."""

    @abstractmethod
    async def add_profile(self, profile: ExecutorProfile) -> ExecutorProfile:
        """Store a profile, durably, with its event; return it with `created_at`.

        Raise Conflict (`executor.exists`) when its name is taken, by a built-in one as well.
        """

    @abstractmethod
    async def remove_profile(self, name: str) -> None:
        """Delete a stored profile, durably, with its event.

        Raise NotFound (`executor.not_found`), Conflict (`executor.in_use`) while it is the active
        one or open runs are pinned to it. When it was the previous one there is none any more.
        """

    @abstractmethod
    async def active_executor(self) -> ActiveExecutor:
        """Return the pointer; before the first switch it is FIRST_CHOICE."""

    @abstractmethod
    async def switch_executor(
        self, name: str, *, if_revision: int, add: ExecutorProfile | None = None
    ) -> ActiveExecutor:
        """Move the pointer in one durable transaction, with its event; `previous` is where it was.

        `add` is stored along, unless it is stored already. Raise StaleRevision when the pointer has
        moved since that revision, NotFound when there is no such executor (any more), Conflict
        (`executor.exists`) when another profile has the name of `add`.
        """

    @abstractmethod
    async def count_pinned(self) -> Mapping[str, int]:
        """Return how many open runs are pinned to each executor; cheap at any size."""
