"""Decide how values and code reach workers that do not see our files: put onto the cluster once, by content."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from flowdapt.runtime import values
from flowdapt.runtime.pickled import Pickled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flowdapt.domain.task import Part, TaskCall, ValueRef
    from flowdapt.runtime.bundle import Packer

__all__ = ["Lifter"]


class Lifter:
    """What was put onto the cluster from here, by the run that it was put there for."""

    def __init__(self, root: str, packer: Packer, holds: Callable[[str], bool]) -> None:
        self._root = root
        self._packer = packer
        self._holds = holds
        self._lifted: dict[str, tuple[str, asyncio.Task[Any]]] = {}
        self._code: tuple[str, Any] = ("", None)

    async def lift(self, call: TaskCall) -> TaskCall:
        """Return the call with no file in it that the cluster does not have."""
        run = call.run
        args = tuple([await self._lift(ref, run.uid) for ref in call.args])
        given = await self._lift(run.input, run.uid)
        if given is not run.input:
            run = msgspec.structs.replace(run, input=given)
        return msgspec.structs.replace(call, args=args, run=run)

    def copies(self, handles: Iterable[str]) -> dict[str, Any]:
        """Return the references of those that were lifted."""
        return {h: self._lifted[h][1].result() for h in handles if h in self._lifted}

    async def code(self, run: str = "") -> tuple[str, Any]:
        """Return the hash of the user's code as it is now, and where it lies on the cluster."""
        bundle = await asyncio.to_thread(self._packer.pack, run)
        if bundle.sha256 != self._code[0]:
            self._code = (bundle.sha256, await asyncio.to_thread(ray.put, bundle.data))
        return self._code

    def forget(self, run: str) -> None:
        """Let go of what was lifted for a run."""
        self._lifted = {handle: found for handle, found in self._lifted.items() if found[0] != run}

    async def _lift(self, ref: ValueRef, run: str) -> ValueRef:
        if ref.kind in ("inline", "cluster") or (ref.handle and self._holds(ref.handle)):
            return ref
        if ref.codec == "parts":
            parts = await asyncio.to_thread(values.read_parts, ref, self._root)
            ref = msgspec.structs.replace(ref, kind="parts", codec="json", parts=parts)
        if ref.parts:
            lifted = tuple([await self._lift_part(part, run) for part in ref.parts])
            return msgspec.structs.replace(ref, parts=lifted)
        if ref.kind != "file":
            return ref
        handle = f"flowdapt/file/{ref.location}/{ref.sha256[:16]}"
        await self._place(handle, ref, run)
        return msgspec.structs.replace(ref, kind="cluster", location="", sha256="", handle=handle)

    async def _lift_part(self, part: Part, run: str) -> Part:
        return msgspec.structs.replace(part, value=await self._lift(part.value, run))

    async def _place(self, handle: str, ref: ValueRef, run: str) -> None:
        if handle not in self._lifted:
            work = asyncio.to_thread(self._put, ref)
            self._lifted[handle] = (run, asyncio.ensure_future(work))
        placing = self._lifted[handle][1]
        try:
            await asyncio.shield(placing)
        except Exception:
            self._lifted.pop(handle, None)
            raise

    def _put(self, ref: ValueRef) -> Any:
        return ray.put(Pickled.read(ref, self._root))
