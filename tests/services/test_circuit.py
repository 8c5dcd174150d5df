"""Whether tasks are given to an executor that refuses them: three times in a row, then one at a time."""

from __future__ import annotations

import itertools

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from flowdapt.services.circuit import BACKOFF_MAX_S, TRIES, Circuit, backoff_s

pytestmark = pytest.mark.trio


class Executor:
    """Takes tasks, or refuses them; notes when it was asked."""

    def __init__(self) -> None:
        self.refuses = True
        self.asked: list[float] = []


async def work(circuit: Circuit, executor: Executor) -> None:
    """Do what an attempt does, until the executor takes the task."""
    while True:
        scouts = circuit.words is not None and await circuit.passage()
        try:
            executor.asked.append(trio.current_time())
            await trio.sleep(0.1)
            if not executor.refuses:
                circuit.succeeded()
                return
            circuit.failed("away")
        finally:
            if scouts:
                circuit.step_down()


async def test_the_wait_doubles_up_to_half_a_minute() -> None:
    assert [backoff_s(n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 1000)] == [
        1, 1, 2, 4, 8, 16, BACKOFF_MAX_S, BACKOFF_MAX_S, BACKOFF_MAX_S,
    ]  # fmt: skip


async def test_it_opens_after_three_failures_in_a_row() -> None:
    circuit = Circuit()
    opened = [circuit.failed("away") for _ in range(TRIES)]
    assert opened == [False, False, True]
    assert circuit.words == "away"


async def test_a_success_in_between_starts_the_count_anew() -> None:
    circuit = Circuit()
    for _ in range(5):
        circuit.failed("away")
        circuit.failed("away")
        assert not circuit.succeeded()
    assert circuit.words is None


async def test_one_task_tries_for_all_and_ever_less_often(autojump_clock: MockClock) -> None:
    circuit, executor = Circuit(), Executor()
    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        for _ in range(20):
            nursery.start_soon(work, circuit, executor)
        await trio.sleep(0.2)
        first = len(executor.asked)
        await trio.sleep(60)
        tries = [at - began for at in executor.asked[first:]]
        executor.refuses = False
    assert 20 <= first < 20 + TRIES
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert [round(gap) for gap in gaps] == [2, 4, 8, 16]
    assert circuit.words is None


async def test_when_the_scout_gets_through_all_the_others_follow(
    autojump_clock: MockClock,
) -> None:
    circuit, executor = Circuit(), Executor()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(work, circuit, executor)
        await trio.sleep(0.5)
        executor.refuses = False
        began = trio.current_time()
    assert trio.current_time() - began < 1.5


async def test_a_scout_that_is_cancelled_leaves_its_turn_to_another(
    autojump_clock: MockClock,
) -> None:
    circuit, executor = Circuit(), Executor()
    async with trio.open_nursery() as nursery:
        scopes = []

        async def cancellable() -> None:
            with trio.CancelScope() as scope:
                scopes.append(scope)
                await work(circuit, executor)

        for _ in range(4):
            nursery.start_soon(cancellable)
        await trio.sleep(0.5)
        for scope in scopes[:3]:
            scope.cancel()
        await wait_all_tasks_blocked()
        executor.refuses = False
    assert circuit.words is None


async def test_an_executor_that_is_away_is_tried_by_no_task(autojump_clock: MockClock) -> None:
    circuit, executor = Circuit(), Executor()
    circuit.cut("it is being opened")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, circuit, executor)
        await trio.sleep(3600)
        assert executor.asked == []
        assert not circuit.admits
        executor.refuses = False
        circuit.mend()
    assert len(executor.asked) == 1


async def test_failures_of_tasks_from_before_change_nothing(autojump_clock: MockClock) -> None:
    circuit = Circuit()
    for _ in range(TRIES):
        circuit.failed("away")
    for _ in range(100):
        assert not circuit.failed("away too")
    assert circuit.next_try_s == 1.0
    assert circuit.words == "away"


async def test_a_slot_is_given_to_one_scout_when_no_task_holds_any(
    autojump_clock: MockClock,
) -> None:
    circuit = Circuit()
    for _ in range(TRIES):
        circuit.failed("away")
    assert circuit.admits
    async with trio.open_nursery() as nursery:
        nursery.start_soon(circuit.passage)
        await wait_all_tasks_blocked()
        assert not circuit.admits
        nursery.cancel_scope.cancel()
    assert circuit.admits
