"""State what every broker must do, as tests: subclass a contract and say how a broker is opened.

`BrokerContract` is about hints and holds for all; `OutsideBrokerContract` (in `broker_outside.py`) adds
what a broker with a server must do. The tests are coroutines of trio: pytest-trio runs them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
import trio.testing

from flowdapt.ports.broker import RUN_ENDED, RUN_READY, Broker, Message

__all__ = ["PATIENCE_S", "BrokerContract", "connected", "keys", "until"]

# What takes longer than this has not worked.
PATIENCE_S = 20.0


async def until(probe: Callable[[], bool]) -> None:
    """Return once the probe is true; fail when it takes longer than PATIENCE_S."""
    with trio.fail_after(PATIENCE_S):
        while not probe():  # noqa: ASYNC110 (what a broker's server does sets no event)
            await trio.sleep(0.02)


async def connected(*brokers: Broker) -> None:
    """Return once their servers answer."""
    await until(lambda: all(broker.state().connected for broker in brokers))


async def keys(messages: AsyncIterator[Message], count: int) -> list[str]:
    """Return the keys of the next messages."""
    with trio.fail_after(PATIENCE_S):
        return [(await anext(messages)).key for _ in range(count)]


def _sockets_and_threads() -> tuple[int, int]:
    found = [
        one for one in Path("/proc/self/fd").iterdir() if "socket" in str(_target(one))
    ]  # only Linux has it; elsewhere nothing is counted
    # trio keeps a few idle threads of its own for a while.
    threads = [one for one in threading.enumerate() if not one.name.startswith("Trio")]
    return len(found), len(threads)


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except OSError:
        return link


class BrokerContract(ABC):
    """What `flowdapt.ports.broker.Broker` promises of hints inside one process.

    ```python
    class TestMyBroker(BrokerContract):
        @asynccontextmanager
        async def opened(self):
            async with trio.open_nursery() as nursery:
                broker = MyBroker("my://…", prefix="…")
                await nursery.start(broker.run)
                yield broker
                nursery.cancel_scope.cancel()
    ```
    """

    pytestmark = pytest.mark.trio

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[Broker]:
        """Open a broker that runs; leaving the block ends it. Called again, it opens another one."""

    async def test_messages_of_one_publisher_arrive_in_order(self) -> None:
        async with self.opened() as broker, broker.subscribe(RUN_READY) as messages:
            for number in range(100):
                broker.publish(Message(RUN_READY, str(number)))
            assert await keys(messages, 100) == [str(number) for number in range(100)]

    async def test_a_waiting_subscriber_is_woken(self) -> None:
        received: list[str] = []
        async with (
            self.opened() as broker,
            broker.subscribe(RUN_READY) as messages,
            trio.open_nursery() as nursery,
        ):

            async def listen() -> None:
                received.extend(await keys(messages, 1))

            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked(0.01)
            broker.publish(Message(RUN_READY, "a"))
        assert received == ["a"]

    async def test_only_topics_and_keys_that_were_asked_for_arrive(self) -> None:
        async with (
            self.opened() as broker,
            broker.subscribe("one", "two") as by_topic,
            broker.subscribe("one", "two", key="b") as by_key,
        ):
            for topic, key in (("one", "a"), ("three", "b"), ("one", "b"), ("two", "b")):
                broker.publish(Message(topic, key))
            assert await keys(by_topic, 3) == ["a", "b", "b"]
            assert await keys(by_key, 2) == ["b", "b"]

    async def test_every_subscriber_gets_each_message(self) -> None:
        async with (
            self.opened() as broker,
            broker.subscribe("one") as first,
            broker.subscribe("one") as second,
        ):
            for key in "ab":
                broker.publish(Message("one", key))
            assert await keys(first, 2) == await keys(second, 2) == ["a", "b"]

    async def test_a_value_comes_along_within_the_process(self) -> None:
        value = object()
        async with self.opened() as broker, broker.subscribe(RUN_ENDED) as messages:
            broker.publish(Message(RUN_ENDED, "a", value))
            with trio.fail_after(PATIENCE_S):
                assert (await anext(messages)).value is value

    async def test_a_full_subscriber_loses_its_oldest_and_nobody_elses(self) -> None:
        async with (
            self.opened() as broker,
            broker.subscribe("one", capacity=3) as small,
            broker.subscribe("one") as large,
        ):
            for number in range(10):
                broker.publish(Message("one", str(number)))
            assert await keys(small, 3) == ["7", "8", "9"]
            assert await keys(large, 10) == [str(number) for number in range(10)]

    async def test_nothing_from_before_the_subscription_arrives(self) -> None:
        async with self.opened() as broker:
            broker.publish(Message("one", "early"))
            async with broker.subscribe("one") as messages:
                broker.publish(Message("one", "late"))
                assert await keys(messages, 1) == ["late"]

    async def test_publishing_to_nobody_is_fine(self) -> None:
        async with self.opened() as broker:
            broker.publish(Message("one", "a"))

    async def test_a_cancelled_reader_loses_no_message(self) -> None:
        async with self.opened() as broker, broker.subscribe("one") as messages:
            broker.publish(Message("one", "a"))
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(messages)
            assert await keys(messages, 1) == ["a"]

    async def test_nothing_comes_from_outside_unless_it_is_sent(self) -> None:
        async with self.opened() as broker, broker.incoming() as incoming:
            with trio.move_on_after(0.2) as patience:
                await anext(incoming)
            assert patience.cancelled_caught

    async def test_its_end_leaves_no_thread_and_no_socket(self) -> None:
        async with self.opened() as broker:
            await connected(broker)
        before = _sockets_and_threads()
        for _ in range(3):
            async with self.opened() as broker, broker.subscribe("one"):
                await connected(broker)
        await until(lambda: _sockets_and_threads() <= before)
