"""Decide how values and code reach workers that do not see our files: put onto the cluster once, by content."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from flowdapt.runtime import values
from flowdapt.runtime.pickled import Pickled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from flowdapt.domain.task import Part, TaskCall, ValueRef
    from flowdapt.runtime.bundle import Packer

__all__ = ["Lifter"]

Copy = TypeVar("Copy")


class Lifter(Generic[Copy]):
    """What was put onto the cluster from here, by the run that it was put there for.

    `put` places a value under a key and returns what the cluster's library calls the copy; `is_gone`
    says of one that the cluster has lost it.
    """

    def __init__(
        self,
        root: str,
        packer: Packer,
        holds: Callable[[str], bool],
        put: Callable[[str, Any], Awaitable[Copy]],
        is_gone: Callable[[Copy], bool] = lambda copy: False,
    ) -> None:
        self._root = root
        self._packer = packer
        self._holds = holds
        self._put = put
        self._is_gone = is_gone
        self._lifted: dict[str, tuple[str, asyncio.Future[Copy]]] = {}
        self._code: tuple[str, Copy] | None = None

    async def lift(self, call: TaskCall) -> TaskCall:
        """Return the call with no file in it that the cluster does not have."""
        run = call.run
        args = tuple([await self._lift(ref, run.uid) for ref in call.args])
        given = await self._lift(run.input, run.uid)
        if given is not run.input:
            run = msgspec.structs.replace(run, input=given)
        return msgspec.structs.replace(call, args=args, run=run)

    def copies(self, handles: Iterable[str]) -> dict[str, Copy]:
        """Return those of the handles that were lifted and are still there."""
        return {
            handle: self._lifted[handle][1].result()
            for handle in handles
            if handle in self._lifted and self._lifted[handle][1].done()
        }

    async def code(self, run: str = "") -> tuple[str, Copy]:
        """Return the hash of the user's code as it is now, and where it lies on the cluster."""
        bundle = await asyncio.to_thread(self._packer.pack, run)
        known = self._code
        if known is None or known[0] != bundle.sha256 or self._is_gone(known[1]):
            copy = await self._put(f"flowdapt/code/{bundle.sha256}", bundle.data)
            known = self._code = (bundle.sha256, copy)
        return known

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
        known = self._lifted.get(handle)
        if known is None or (known[1].done() and self._is_gone(known[1].result())):
            known = self._lifted[handle] = (run, asyncio.ensure_future(self._copied(handle, ref)))
        try:
            await asyncio.shield(known[1])
        except BaseException:
            if known[1].done():
                self._lifted.pop(handle, None)
            raise

    async def _copied(self, handle: str, ref: ValueRef) -> Copy:
        return await self._put(handle, await asyncio.to_thread(Pickled.read, ref, self._root))
