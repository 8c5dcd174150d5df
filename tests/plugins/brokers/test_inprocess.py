"""The broker inside one process: hints in order, bounded, at most once each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import RUN_ENDED, RUN_READY, Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.trio


@pytest.fixture
def broker() -> InProcessBroker:
    return InProcessBroker()


async def take(messages: AsyncIterator[Message], count: int) -> list[str]:
    with trio.fail_after(5):
        return [(await anext(messages)).key for _ in range(count)]


async def nothing_more(messages: AsyncIterator[Message]) -> bool:
    with trio.move_on_after(60) as scope:
        await anext(messages)
    return scope.cancelled_caught


async def test_messages_arrive_in_order(broker, autojump_clock) -> None:
    async with broker.subscribe(RUN_READY) as messages:
        for key in "abc":
            broker.publish(Message(RUN_READY, key))
        assert await take(messages, 3) == ["a", "b", "c"]
        assert await nothing_more(messages)


async def test_a_waiting_subscriber_is_woken(broker, autojump_clock) -> None:
    received: list[str] = []

    async def listen(task_status=trio.TASK_STATUS_IGNORED) -> None:
        async with broker.subscribe(RUN_READY) as messages:
            task_status.started()
            received.extend(await take(messages, 1))

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        await trio.sleep(1)
        broker.publish(Message(RUN_READY, "a"))
    assert received == ["a"]


async def test_a_value_comes_along_as_it_is(broker, autojump_clock) -> None:
    value = object()
    async with broker.subscribe(RUN_ENDED) as messages:
        broker.publish(Message(RUN_ENDED, "a", value))
        assert (await anext(messages)).value is value


async def test_only_the_topics_asked_for_arrive(broker, autojump_clock) -> None:
    async with broker.subscribe("one", "two") as messages:
        for topic in ("one", "three", "two"):
            broker.publish(Message(topic, topic))
        assert await take(messages, 2) == ["one", "two"]
        assert await nothing_more(messages)


async def test_only_the_key_asked_for_arrives(broker, autojump_clock) -> None:
    async with broker.subscribe("one", "two", key="b") as messages:
        for topic, key in (("one", "a"), ("one", "b"), ("two", "b"), ("two", "c")):
            broker.publish(Message(topic, key))
        assert await take(messages, 2) == ["b", "b"]
        assert await nothing_more(messages)


async def test_every_subscriber_gets_each_message_once(broker, autojump_clock) -> None:
    async with (
        broker.subscribe("one", "one") as first,
        broker.subscribe("one") as second,
        broker.subscribe("one", key="a") as third,
    ):
        broker.publish(Message("one", "a"))
        for messages in (first, second, third):
            assert await take(messages, 1) == ["a"]
            assert await nothing_more(messages)


async def test_a_full_subscriber_loses_its_oldest_and_nobody_elses(broker, autojump_clock) -> None:
    async with (
        broker.subscribe("one", capacity=3) as small,
        broker.subscribe("one") as large,
    ):
        for number in range(10):
            broker.publish(Message("one", str(number)))
        assert await take(small, 3) == ["7", "8", "9"]
        assert await nothing_more(small)
        assert await take(large, 10) == [str(number) for number in range(10)]


async def test_publishing_to_nobody_is_fine(broker) -> None:
    broker.publish(Message("one", "a"))


async def test_nothing_from_before_the_subscription_arrives(broker, autojump_clock) -> None:
    broker.publish(Message("one", "early"))
    async with broker.subscribe("one") as messages:
        broker.publish(Message("one", "late"))
        assert await take(messages, 1) == ["late"]


async def test_a_subscription_that_ended_leaves_nothing_behind(broker) -> None:
    for key in (None, "a"):
        with trio.move_on_after(0):
            async with broker.subscribe("one", key=key) as messages:
                await anext(messages)
    assert (broker._all, broker._by_key) == ({}, {})


async def test_a_subscriber_may_leave_while_a_message_is_read(broker, autojump_clock) -> None:
    async with broker.subscribe("one") as kept:
        async with broker.subscribe("one") as left:
            broker.publish(Message("one", "a"))
            assert await take(left, 1) == ["a"]
        broker.publish(Message("one", "b"))
        assert await take(kept, 2) == ["a", "b"]


async def test_a_cancelled_reader_loses_no_message(broker, autojump_clock) -> None:
    async with broker.subscribe("one") as messages:
        broker.publish(Message("one", "a"))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(messages)
        assert scope.cancelled_caught
        assert await take(messages, 1) == ["a"]


async def test_reading_lets_others_run(broker) -> None:
    async with broker.subscribe("one") as messages:
        broker.publish(Message("one", "a"))
        with trio.testing.assert_checkpoints():
            await anext(messages)


async def test_it_is_ready_at_once_and_serves_until_cancelled(broker, autojump_clock) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(broker.run)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
