"""Decide how cluster memory lies on a Ray cluster: one actor of the cluster owns all values of it.

The actor outlives whoever put a value, and the daemon as well; it ends with the cluster. It gives out
the locks as well, each for a time that ends when nobody renews it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions as errors

from flowdapt.runtime.host_memory import LEASE_S, Shelf

if TYPE_CHECKING:
    from flowdapt.runtime.pickled import Pickled

__all__ = ["Keeper", "RayShelf"]

_NAME = "flowdapt-memory"
_PATIENCE_S = 30.0

Key = tuple[str, str]


class Keeper:
    """The actor: it never opens a value. Only who waits for a lock lets others in meanwhile."""

    def __init__(self) -> None:
        self._refs: dict[Key, list[Any]] = {}
        self._locks: dict[str, _Lock] = {}

    def keep(self, key: Key, kept: Pickled) -> None:
        # Whoever calls `put` owns the value: it must not go with the worker that came with it.
        self._refs[key] = [ray.put(kept)]

    def find(self, key: Key) -> list[Any]:
        return self._refs.get(key, [])

    def exists(self, key: Key) -> bool:
        return key in self._refs

    def delete(self, key: Key) -> bool:
        return self._refs.pop(key, None) is not None

    async def take_lock(self, name: str, owner: str, wait_s: float) -> bool:
        return await self._locks.setdefault(name, _Lock()).take(owner, wait_s)

    async def drop_lock(self, name: str, owner: str) -> None:
        self._locks.setdefault(name, _Lock()).drop(owner)


class _Lock:
    """One owner at a time, and how long it stays so unless it asks again."""

    def __init__(self) -> None:
        self._owner = ""
        self._ends = 0.0
        self._freed = asyncio.Event()

    async def take(self, owner: str, wait_s: float) -> bool:
        latest = time.monotonic() + wait_s
        while self._keeps_out(owner):
            now = time.monotonic()
            if now >= latest:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), min(latest, self._ends) - now)
        self._owner, self._ends = owner, time.monotonic() + LEASE_S
        return True

    def drop(self, owner: str) -> None:
        if self._owner == owner:
            self._owner = ""
            # Whoever comes from now on waits for the next one.
            self._freed.set()
            self._freed = asyncio.Event()

    def _keeps_out(self, owner: str) -> bool:
        return self._owner not in ("", owner) and time.monotonic() < self._ends


class RayShelf(Shelf):
    """The memory of all workers of one cluster, through one of them."""

    def __init__(self, namespace: str) -> None:
        self._actor: Any = (
            ray.remote(Keeper)
            .options(
                name=_NAME,
                namespace=namespace,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
                max_restarts=-1,
            )
            .remote()
        )

    def put(self, namespace: str, key: str, kept: Pickled) -> None:
        self._ask(self._actor.keep, (namespace, key), kept)

    def find(self, namespace: str, key: str) -> Pickled | None:
        refs = self._ask(self._actor.find, (namespace, key))
        if not refs:
            return None
        try:
            found: Pickled = ray.get(refs[0], timeout=_PATIENCE_S)
        except errors.ObjectLostError:
            return None
        except (errors.RayError, TimeoutError) as error:
            raise _unasked(error) from error
        return found

    def exists(self, namespace: str, key: str) -> bool:
        return bool(self._ask(self._actor.exists, (namespace, key)))

    def delete(self, namespace: str, key: str) -> bool:
        return bool(self._ask(self._actor.delete, (namespace, key)))

    def take_lock(self, name: str, owner: str, wait_s: float) -> bool:
        return bool(self._ask(self._actor.take_lock, name, owner, wait_s))

    def drop_lock(self, name: str, owner: str) -> None:
        self._ask(self._actor.drop_lock, name, owner)

    def _ask(self, method: Any, *args: Any) -> Any:
        try:
            return ray.get(method.remote(*args), timeout=_PATIENCE_S)
        except (errors.RayError, TimeoutError) as error:
            raise _unasked(error) from error


def _unasked(error: Exception) -> OSError:
    return OSError(f"the memory of the Ray cluster cannot be asked: {type(error).__name__}")
