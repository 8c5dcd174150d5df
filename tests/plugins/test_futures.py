"""The bridge to foreign loops: results, errors, cancels both ways, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future

import pytest
import trio
import trio.testing

from flowdapt.plugins.futures import open_portal, wait_future

pytestmark = pytest.mark.trio


async def test_a_coroutine_returns_its_result() -> None:
    async def add(a: int, *, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    async with open_portal("test") as portal:
        assert await portal.call(add, 1, b=2) == 3


async def test_a_coroutine_raises_its_error() -> None:
    async def fail() -> None:
        raise LookupError("here")

    async with open_portal("test") as portal:
        with pytest.raises(LookupError, match="here"):
            await portal.call(fail)


async def test_calls_run_beside_each_other_and_beside_trio() -> None:
    async with open_portal("test") as portal, trio.open_nursery() as nursery:
        first, second = asyncio.Event(), asyncio.Event()

        async def one() -> None:
            first.set()
            await second.wait()

        async def other() -> None:
            await first.wait()
            second.set()

        with trio.fail_after(10):
            nursery.start_soon(portal.call, one)
            await portal.call(other)


async def test_cancelling_the_wait_cancels_the_coroutine() -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with open_portal("test") as portal:
        with trio.move_on_after(0.05) as scope:
            await portal.call(hang)
        assert scope.cancelled_caught
        assert await trio.to_thread.run_sync(cancelled.wait, 10)


async def test_a_call_in_a_cancelled_scope_starts_nothing() -> None:
    started = []

    async def note() -> None:
        started.append(True)

    async with open_portal("test") as portal:
        with trio.CancelScope() as scope:
            scope.cancel()
            await portal.call(note)
        await portal.call(asyncio.sleep, 0)
    assert started == []


async def test_a_coroutine_cancelled_over_there_is_an_error_here() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    async with open_portal("test") as portal:
        with pytest.raises(CancelledError):
            await portal.call(give_up)


async def test_the_end_cancels_what_still_runs_and_joins_the_thread() -> None:
    before = threading.active_count()
    async with trio.open_nursery() as nursery:
        async with open_portal("test") as portal:

            async def hang() -> None:
                with pytest.raises(CancelledError):
                    await portal.call(asyncio.sleep, 3600)

            nursery.start_soon(hang)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert [one.name for one in threading.enumerate() if one.name == "test"] == []
    assert threading.active_count() <= before + 1


async def test_a_portal_may_be_left_in_a_cancelled_scope() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_portal("test"):
            pass
    assert [one.name for one in threading.enumerate() if one.name == "test"] == []


async def test_a_future_that_is_done_already_is_not_waited_for() -> None:
    future: Future[int] = Future()
    future.set_result(7)
    with trio.fail_after(10):
        assert await wait_future(future) == 7


async def test_a_future_done_by_another_thread_wakes_the_waiter() -> None:
    future: Future[int] = Future()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, future.set_result, 7)
        with trio.fail_after(10):
            assert await wait_future(future) == 7


async def test_a_future_that_ends_after_trio_does_no_harm() -> None:
    class Stubborn(Future[int]):
        def cancel(self) -> bool:
            return False

    future = Stubborn()

    async def leave() -> None:
        with trio.move_on_after(0.01):
            await wait_future(future)

    await trio.to_thread.run_sync(trio.run, leave)
    future.set_result(1)
