"""Values are passed by name only while every member of a cluster is known to stand here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from flowdapt.plugins.bridge import neighbours
from flowdapt.plugins.bridge.neighbours import Neighbours
from flowdapt.runtime.areas import Area
from flowdapt.runtime.lending import machine, machine_with

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE, FAR = machine(), "another"


class Cluster:
    """Members and their machines; None: one that does not answer."""

    def __init__(self, **machines: str | None) -> None:
        self.machines = machines
        self.asked: list[list[str]] = []
        self.told: list[bool] = []
        self.neighbours = Neighbours(self._ask, self._tell)

    async def _ask(self, members: list[str], path: str, inode: int) -> Mapping[str, str]:
        assert machine_with(path, inode) == HERE
        self.asked.append(members)
        return {m: found for m in members if (found := self.machines[m]) is not None}

    async def _tell(self, are_here: bool) -> None:
        self.told.append(are_here)

    async def see(self, *members: str) -> bool:
        self.neighbours.see(members)
        await self.neighbours.settle()
        return self.neighbours.are_here


def test_all_are_here_until_a_stranger_comes_and_again_when_it_went() -> None:
    async def follow() -> None:
        cluster = Cluster(a=HERE, b=HERE, c=FAR)
        assert await cluster.see("a", "b")
        assert not await cluster.see("a", "b", "c")
        assert await cluster.see("a", "b")
        assert cluster.asked == [["a", "b"], ["c"]]
        assert cluster.told == [True, False]

    asyncio.run(follow())


def test_who_is_not_known_yet_is_a_stranger() -> None:
    async def follow() -> None:
        cluster = Cluster(a=HERE, b=HERE)
        assert await cluster.see("a")
        cluster.neighbours.see(["a", "b"])
        assert not cluster.neighbours.are_here
        await cluster.neighbours.settle()
        assert cluster.neighbours.are_here

    asyncio.run(follow())


@pytest.mark.parametrize("machines", [{"a": HERE, "b": None}, {"a": HERE, "b": ""}, {}])
def test_nobody_is_here_without_having_said_so(machines: dict[str, str | None]) -> None:
    assert not asyncio.run(Cluster(**machines).see(*machines))


def test_where_memory_has_no_names_nobody_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "machine", lambda: "")
    assert not asyncio.run(Cluster(a="").see("a"))


def test_who_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_ASK_S", 0.05)

    class Silent(Cluster):
        async def _ask(self, members: list[str], path: str, inode: int) -> Mapping[str, str]:
            await asyncio.Event().wait()
            return {}

    cluster = Silent(a=HERE)
    assert not asyncio.run(cluster.see("a"))
    assert cluster.told == [False]


def test_who_cannot_open_our_memory_is_far() -> None:
    area = Area.of([(0, b"x")])
    path, inode = area.path, area.inode
    assert machine_with(path, inode) == HERE
    assert machine_with(path, inode + 1) == ""
    area.close()
    assert machine_with(path, inode) == ""
