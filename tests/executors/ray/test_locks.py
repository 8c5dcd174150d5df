"""The locks of the actor that keeps cluster memory on Ray: one owner at a time, and none for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from flowdapt.plugins.executors.ray import shelf
from flowdapt.plugins.executors.ray.shelf import Keeper

if TYPE_CHECKING:
    from collections.abc import Coroutine

LONG_S = 60.0


def _run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


async def _waiting(keeper: Keeper, *owners: str) -> list[asyncio.Task[bool]]:
    """Have owners wait for the lock, each after the one before."""
    tasks = [asyncio.create_task(keeper.take_lock("k", owner, LONG_S)) for owner in owners]
    await asyncio.sleep(0)
    return tasks


def test_a_lock_has_one_owner_who_may_take_it_again() -> None:
    async def work() -> None:
        keeper = Keeper()
        assert await keeper.take_lock("k", "first", 0)
        assert await keeper.take_lock("k", "first", 0)
        assert not await keeper.take_lock("k", "second", 0)
        assert not await keeper.take_lock("k", "second", 0.01)
        assert await keeper.take_lock("another", "second", 0)

    _run(work())


def test_who_waits_gets_the_lock_when_it_is_dropped_first_come_first_served() -> None:
    async def work() -> None:
        keeper = Keeper()
        await keeper.take_lock("k", "first", 0)
        second, third = await _waiting(keeper, "second", "third")
        await keeper.drop_lock("k", "first")
        assert await second
        assert not third.done()
        await keeper.drop_lock("k", "second")
        assert await third

    _run(work())


def test_only_its_owner_drops_a_lock() -> None:
    async def work() -> None:
        keeper = Keeper()
        await keeper.take_lock("k", "first", 0)
        await keeper.drop_lock("k", "second")
        await keeper.drop_lock("another", "second")
        assert not await keeper.take_lock("k", "second", 0)

    _run(work())


def test_a_lock_that_nobody_takes_again_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        keeper = Keeper()
        monkeypatch.setattr(shelf, "LEASE_S", 0.05)
        await keeper.take_lock("k", "first", 0)
        (second,) = await _waiting(keeper, "second")
        assert await second
        monkeypatch.setattr(shelf, "LEASE_S", LONG_S)
        await keeper.take_lock("k", "second", 0)
        assert not await keeper.take_lock("k", "first", 0.1)

    _run(work())
