"""Decide whether values of a cluster may be passed by name: only while all its members stand on this machine.

Members come and go: who is not known yet is taken for a stranger.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from flowdapt.runtime.areas import Area
from flowdapt.runtime.lending import machine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

__all__ = ["Neighbours"]

_ASK_S = 20.0
# Whoever opens an executor waits no longer for an advantage alone.
_SETTLE_S = 2.0


class Neighbours:
    """The members of one cluster. `ask` has them answer `lending.machine_with`; who is silent is far.

    `tell` hears after each arrival whether all are here. Workers that are told not to share our files
    are asked nothing: somebody wants them to be far.
    """

    def __init__(
        self,
        ask: Callable[[list[str], str, int], Awaitable[Mapping[str, str]]],
        tell: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._here = machine()
        self._probe = Area.of([(0, b"here")])
        self._machines: dict[str, str] = {}
        self._members: frozenset[str] = frozenset()
        self._asking: asyncio.Task[None] | None = None

    @property
    def are_here(self) -> bool:
        """Say whether there are some, and all of them stand here."""
        found = {self._machines.get(member, "") for member in self._members}
        return bool(self._here) and found == {self._here}

    def see(self, members: Iterable[str]) -> None:
        """Take note of who is there now, and begin to ask those that came."""
        self._members = frozenset(members)
        self._machines = {m: self._machines[m] for m in self._members if m in self._machines}
        if self._members - self._machines.keys() and (self._asking is None or self._asking.done()):
            self._asking = asyncio.ensure_future(self._learn())

    async def settle(self) -> None:
        """Wait until those that are there have answered, a moment at most."""
        if self._asking is not None:
            await asyncio.wait([self._asking], timeout=_SETTLE_S)

    def close(self) -> None:
        """Ask nobody any more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _learn(self) -> None:
        while new := self._members - self._machines.keys():
            answers: Mapping[str, str] = {}
            with suppress(Exception):
                asking = self._ask(sorted(new), self._probe.path, self._probe.inode)
                answers = await asyncio.wait_for(asking, _ASK_S)
            self._machines |= {member: answers.get(member, "") for member in new}
            with suppress(Exception):
                await self._tell(self.are_here)
