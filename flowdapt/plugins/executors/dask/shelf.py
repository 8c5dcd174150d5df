"""Decide how cluster memory lies on a Dask cluster: a variable names the data, another one keeps it.

A reader never holds the data's name for long: replaced data is looked up anew. Locks are semaphores
of the scheduler, whose leases end when nobody renews them.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from distributed.utils_comm import gather_from_workers

from flowdapt.runtime.host_memory import LEASE_S, Shelf

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from distributed import Worker

    from flowdapt.runtime.pickled import Pickled

__all__ = ["DaskShelf"]

_PREFIX = "flowdapt-memory"
_PATIENCE_S = 30.0
# Replaced between the two questions: the next name is there already.
_TRIES = 5
# Dask waits for a name to be set; with no time to wait it says at once that there is none.
_AT_ONCE_S = -1.0


class DaskShelf(Shelf):
    """The memory of one daemon's runs on all workers of a cluster, through one of them."""

    def __init__(self, worker: Worker, scope: str) -> None:
        self._worker = worker
        self._scope = scope

    def put(self, namespace: str, key: str, kept: Pickled) -> None:
        self._call(self._put(self._name(namespace, key), kept))

    def find(self, namespace: str, key: str) -> Pickled | None:
        found: Pickled | None = self._call(self._find(self._name(namespace, key)))
        return found

    def exists(self, namespace: str, key: str) -> bool:
        return self._call(self._where(self._name(namespace, key))) is not None

    def delete(self, namespace: str, key: str) -> bool:
        return bool(self._call(self._delete(self._name(namespace, key))))

    def take_lock(self, name: str, owner: str, wait_s: float) -> bool:
        return bool(self._call(self._take_lock(self._lock(name), owner, wait_s)))

    def drop_lock(self, name: str, owner: str) -> None:
        dropping = self._worker.scheduler.semaphore_release(name=self._lock(name), lease_id=owner)
        self._call(dropping)

    def _lock(self, name: str) -> str:
        return f"{_PREFIX}/{self._scope}/{name}"

    async def _take_lock(self, lock: str, owner: str, wait_s: float) -> bool:
        scheduler = self._worker.scheduler
        # Each time anew: a scheduler that was started again knows of none.
        await scheduler.semaphore_register(name=lock, max_leases=1, lease_timeout=LEASE_S)
        # Who has it already gets it again at once, for as long as from now.
        taken: bool = await scheduler.semaphore_acquire(name=lock, timeout=wait_s, lease_id=owner)
        return taken

    def _name(self, namespace: str, key: str) -> str:
        return f"{_PREFIX}/{self._scope}/{namespace}/{key}"

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        loop: Any = self._worker.loop  # tornado's, which wraps the one that is meant
        return asyncio.run_coroutine_threadsafe(work, loop.asyncio_loop).result(_PATIENCE_S)

    async def _put(self, name: str, kept: Pickled) -> None:
        worker = self._worker
        data = f"{name}/{secrets.token_hex(8)}"
        answer = worker.update_data({data: kept})
        holder = f"{name}/held"
        await worker.scheduler.update_data(
            who_has={data: [worker.address]}, nbytes=answer["nbytes"], client=f"variable-{holder}"
        )
        await worker.scheduler.variable_set(name=name, data=data)
        await worker.scheduler.variable_set(name=holder, key=data, timeout=_PATIENCE_S)

    async def _where(self, name: str) -> str | None:
        """Return the key of the data; None when nothing is there, or it went with its worker."""
        data = await self._data_of(name)
        return data if data is not None and await self._owners(data) else None

    async def _data_of(self, name: str) -> str | None:
        try:
            record = await self._worker.scheduler.variable_get(name=name, timeout=_AT_ONCE_S)
        except TimeoutError:
            return None
        return record["value"] or None

    async def _owners(self, data: str) -> list[str]:
        found = await self._worker.scheduler.who_has(keys=[data])
        return list(found.get(data) or ())

    async def _find(self, name: str) -> Pickled | None:
        worker = self._worker
        for _ in range(_TRIES):
            data = await self._data_of(name)
            if data is None:
                return None
            here: Any = worker.data
            kept: Pickled | None = here.get(data) if data in here else None
            if kept is None and (owners := await self._owners(data)):
                found: Any = await gather_from_workers(
                    {data: owners}, worker.rpc, who=worker.address
                )
                kept = found[0].get(data)
            if kept is not None:
                return kept
        return None

    async def _delete(self, name: str) -> bool:
        there = await self._where(name) is not None
        if there:
            # A worker may set a variable and not remove it: an empty name means that nothing is there.
            await self._worker.scheduler.variable_set(name=name, data="")
            await self._worker.scheduler.variable_set(name=f"{name}/held", data="")
        return there
