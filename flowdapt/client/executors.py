"""The part of both clients that is about executors: `client.executors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints import executors as calls
from flowdapt.domain.executor_profile import Checked, ExecutorView

if TYPE_CHECKING:
    from flowdapt.client.async_client import AsyncClient
    from flowdapt.client.client import Client

__all__ = ["AsyncExecutors", "Executors"]


class Executors:
    """`client.executors`: what runs the stages. `client.use(name)` switches to another one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Sequence[ExecutorView]:
        """Return all executors and how busy they are, the built-in ones among them."""
        return self._client.ask(calls.list_())

    def get(self, name: str) -> ExecutorView:
        """Return one executor. Raise NotFound."""
        return self._client.ask(calls.get(name))

    def add(self, name: str, kind: str, options: Mapping[str, Any] | None = None) -> ExecutorView:
        """Store a profile; nothing is opened or checked.

        Raise InvalidInput for an unknown kind or option, and for an address that is not safe;
        Conflict when the name is taken.
        """
        return self._client.ask(calls.add(name, kind, options))

    def remove(self, name: str) -> None:
        """Forget a profile. Raise NotFound; Conflict while it is active or runs are pinned to it."""
        self._client.ask(calls.remove(name))

    def workers(self, name: str) -> Sequence[dict[str, Any]]:
        """Return the workers of an executor as they are now. Raise NotFound."""
        return self._client.ask(calls.workers(name))

    def check(self, name: str) -> Checked:
        """Open the executor (`-`: the one before) where it is not open, look at it, run a small task. Raise NotFound."""
        return self._client.ask(calls.check(name))


class AsyncExecutors:
    """`client.executors`: what runs the stages. `client.use(name)` switches to another one."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self) -> Sequence[ExecutorView]:
        """Return all executors and how busy they are, the built-in ones among them."""
        return await self._client.ask(calls.list_())

    async def get(self, name: str) -> ExecutorView:
        """Return one executor. Raise NotFound."""
        return await self._client.ask(calls.get(name))

    async def add(
        self, name: str, kind: str, options: Mapping[str, Any] | None = None
    ) -> ExecutorView:
        """Store a profile; nothing is opened or checked.

        Raise InvalidInput for an unknown kind or option, and for an address that is not safe;
        Conflict when the name is taken.
        """
        return await self._client.ask(calls.add(name, kind, options))

    async def remove(self, name: str) -> None:
        """Forget a profile. Raise NotFound; Conflict while it is active or runs are pinned to it."""
        await self._client.ask(calls.remove(name))

    async def workers(self, name: str) -> Sequence[dict[str, Any]]:
        """Return the workers of an executor as they are now. Raise NotFound."""
        return await self._client.ask(calls.workers(name))

    async def check(self, name: str) -> Checked:
        """Open the executor (`-`: the one before) where it is not open, look at it, run a small task. Raise NotFound."""
        return await self._client.ask(calls.check(name))
