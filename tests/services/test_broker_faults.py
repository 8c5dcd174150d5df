"""Runs over a broker that loses, doubles, reorders, delays, is down, flaps or was wiped: latency, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from flowdapt.domain.run import RunRequest, RunState
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.testing.fakes import FakeExecutor
from flowdapt.testing.lossy_broker import Badness, LossyBroker
from tests.services.test_compute import House, finishes, house, stage

if TYPE_CHECKING:
    from trio.testing import MockClock

pytestmark = pytest.mark.trio

RUNS = 30


def executor() -> FakeExecutor:
    return FakeExecutor({f"m.{name}": finishes(name) for name in "ab"}, slots=4)


async def submitted(h: House, count: int = RUNS) -> list[str]:
    # A limit on runs at once: they are queued, and claimed when somebody looks.
    h.workflows.add("w", stage("a"), stage("b", "a"), concurrency={"max_runs": 3})
    return [(await h.runs.submit("w", RunRequest()))[0].uid for _ in range(count)]


async def all_finished(h: House, uids: list[str], *, within_s: float) -> None:
    await trio.sleep(within_s)
    states = {(await h.runs.get(uid)).state for uid in uids}
    assert states == {RunState.FINISHED}
    calls = [call.task_key for call in h.executor.calls]
    assert len(calls) == len(set(calls)) == 2 * len(uids)


@pytest.mark.parametrize("seed", range(5))
async def test_hints_that_are_lost_doubled_reordered_and_late_lose_no_run(
    autojump_clock: MockClock, seed: int
) -> None:
    broker = LossyBroker(InProcessBroker(), Badness(0.3, 0.3, delay_s=60), seed=seed)
    async with house(executor(), broker=broker) as h:
        await all_finished(h, await submitted(h), within_s=5 * RUNS)


async def test_a_broker_that_is_down_delays_a_run_by_a_poll(autojump_clock: MockClock) -> None:
    broker = LossyBroker(InProcessBroker())
    broker.go_down()
    async with house(executor(), broker=broker) as h:
        await trio.sleep(600)
        (uid,) = await submitted(h, 1)
        await all_finished(h, [uid], within_s=5.5)


async def test_a_broker_that_flaps_each_second_loses_no_run(autojump_clock: MockClock) -> None:
    broker = LossyBroker(InProcessBroker(), Badness(0, 0))

    async def flap() -> None:
        while True:
            broker.go_down()
            await trio.sleep(1)
            broker.come_back()
            await trio.sleep(1)

    async with house(executor(), broker=broker) as h:
        h.nursery.start_soon(flap)
        await all_finished(h, await submitted(h), within_s=5 * RUNS)


async def test_a_wiped_broker_loses_no_run(autojump_clock: MockClock) -> None:
    broker = LossyBroker(InProcessBroker(), Badness(0, 0, delay_s=60))
    async with house(executor(), broker=broker) as h:
        uids = await submitted(h)
        broker.wipe()
        broker._delayed.clear()
        await all_finished(h, uids, within_s=5 * RUNS)
