"""Decide how live copies of values are kept on a Dask cluster: as data in our name that no task made."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from distributed import Client, Future

from flowdapt.domain.errors import ExecutorUnavailable, MissingObject
from flowdapt.domain.task import ValueRef
from flowdapt.plugins.executors.dask import remote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowdapt.runtime.pickled import Pickled

__all__ = ["Copies"]

_encode = msgspec.msgpack.Encoder().encode
_read_value = msgspec.msgpack.Decoder(ValueRef).decode


class Copies:
    """Those of all runs, by their handles. They are let go of when nothing here names them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found: dict[str, tuple[str, Future[Any]]] = {}

    def keep(self, handle: str, run: str) -> None:
        """Take what a worker put onto the cluster in our name."""
        state: Any = "memory"  # what Dask calls it, whatever its annotation says
        self._found[handle] = run, Future(handle, client=self._client, state=state)

    async def put(self, key: str, value: Any) -> Future[Any]:
        """Put a value onto the cluster for as long as somebody has what is returned."""
        while True:
            try:
                placed: dict[str, Future[Any]] = await self._client.scatter(
                    {key: value}, hash=False
                )
            except TimeoutError:
                # Nobody is there to take it; of what waits, only tasks bring workers where it scales.
                waits = f"flowdapt/worker/{secrets.token_hex(4)}"
                await self._client.submit(bool, key=waits, pure=False)
            else:
                return placed[key]

    def holds(self, handle: str) -> bool:
        """Say whether a value can be had."""
        found = self._found.get(handle)
        return found is not None and found[1].status == "finished"

    def find(self, handles: Iterable[str]) -> dict[str, Future[Any]]:
        """Return those that can be had."""
        return {handle: self._found[handle][1] for handle in handles if self.holds(handle)}

    def forget(self, run: str) -> None:
        """Let go of the values of a run."""
        self._found = {h: found for h, found in self._found.items() if found[0] != run}

    def clear(self) -> None:
        """Let go of all."""
        self._found.clear()

    async def store(self, ref: ValueRef, root: str, name: str, *, by_worker: bool) -> ValueRef:
        """Write one to a file below the values' root; raise as `Executor.store` does."""
        if not self.holds(ref.handle):
            raise MissingObject(f"the cluster has nothing any more under {ref.handle}")
        copy = self._found[ref.handle][1]
        try:
            if not by_worker:
                kept: Pickled = await self._client.gather(copy, asynchronous=True)
                return await asyncio.to_thread(kept.write, ref, root, name)
            key = f"{ref.handle}/file/{secrets.token_hex(4)}"
            written = self._client.submit(
                remote.write_value, _encode(ref), root, name, copy, key=key, pure=False
            )
            return _read_value(await written)
        except (OSError, ExecutorUnavailable):
            raise
        except Exception as error:
            if not self.holds(ref.handle):
                raise MissingObject(f"the cluster lost what was under {ref.handle}") from error
            raise ExecutorUnavailable(f"the value could not be written: {error}") from error
