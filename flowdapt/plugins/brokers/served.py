"""Make a broker of a connection that may be there or not: what happens here needs no server.

Publications reach this process's subscribers at once, and other daemons when the server lets them.
How a server is spoken to is each `Link`'s business.
"""

from __future__ import annotations

import random
import uuid
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import trio

from flowdapt.domain.custom_events import read_custom_event
from flowdapt.domain.errors import BrokerUnavailable, InvalidInput, TooLarge
from flowdapt.logs import get_log
from flowdapt.plugins.brokers import wire
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import BROKER_STATE, Broker, BrokerState, Incoming, Message

if TYPE_CHECKING:
    from flowdapt.domain.events import Event
    from flowdapt.plugins.brokers.link import Delivery, Link

__all__ = ["ServedBroker"]

log = get_log("flowdapt.broker")

CONNECT_TIMEOUT_S = 10.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
# A connection that held this long was a good one.
STEADY_S = 10.0
RELAY_TIMEOUT_S = 15.0
SEND_TIMEOUT_S = 10.0
# Hints that wait for the server; the oldest goes first.
WAITING_HINTS = 10_000
# What of a dead letter is kept.
DEAD_LETTER_BYTES = 4096


class ServedBroker(Broker):
    """A broker with a server behind it. Subclasses say how to connect."""

    carries_events: ClassVar[bool] = True

    def __init__(self) -> None:
        self._sender = uuid.uuid4().hex
        self._local = InProcessBroker()
        self._link: Link | None = None
        self._state = BrokerState(connected=False, reason="not yet connected")
        self._changed = trio.Event()
        # A hint that waits already need not wait twice.
        self._waiting: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._hinted = trio.Event()

    @abstractmethod
    def connect(self) -> AbstractAsyncContextManager[Link]:
        """Connect; raise BrokerUnavailable. Leaving lets go of everything, threads included."""

    # -- the port ----------------------------------------------------------------------------------

    def publish(self, message: Message) -> None:
        self._local.publish(message)
        hint = (message.topic, message.key)
        self._waiting.pop(hint, None)
        self._waiting[hint] = None
        if len(self._waiting) > WAITING_HINTS:
            self._waiting.popitem(last=False)
        self._hinted.set()

    def subscribe(
        self, *topics: str, key: str | None = None, capacity: int = 10_000
    ) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        return self._local.subscribe(*topics, key=key, capacity=capacity)

    def state(self) -> BrokerState:
        return self._state

    async def relay(self, events: Sequence[Event]) -> None:
        link = self._link
        if link is None:
            raise BrokerUnavailable(f"the broker does not answer: {self._state.reason}")
        with trio.move_on_after(RELAY_TIMEOUT_S) as patience:
            await link.append(wire.outgoing(events))
        if patience.cancelled_caught:
            raise BrokerUnavailable("the broker did not acknowledge events in time")

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[AsyncIterator[Incoming]]:
        yield _Reader(self)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        pause_s = FIRST_PAUSE_S
        while True:
            began = trio.current_time()
            reason = await self._serve()
            self._become(None, reason)
            if trio.current_time() - began > STEADY_S:
                pause_s = FIRST_PAUSE_S
            # Jitter: daemons that lost one server do not come back in step.
            await trio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    # -- one connection ----------------------------------------------------------------------------

    async def _serve(self) -> str:
        """Use one connection until it is lost; return why that was."""
        reason = ""
        try:
            await self._use_connection()
        except* BrokerUnavailable as group:
            reason = str(_first(group))
        except* Exception as group:
            # A client library that stumbles over its server must not take the daemon along.
            log.exception("the broker's client failed", exc_info=group)
            reason = f"the client failed: {_first(group)!r}"
        return reason or "the connection ended"

    async def _use_connection(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + CONNECT_TIMEOUT_S) as patience:
            async with self.connect() as link:
                patience.deadline = float("inf")
                self._become(link, "")
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._send_hints, link)
                        nursery.start_soon(self._take_hints, link)
                finally:
                    self._link = None
        if patience.cancelled_caught:
            raise BrokerUnavailable(f"no answer within {CONNECT_TIMEOUT_S:.0f} s")

    async def _send_hints(self, link: Link) -> None:
        while True:
            while not self._waiting:
                self._hinted = trio.Event()
                await self._hinted.wait()
            count = min(len(self._waiting), wire.HINTS_PER_PACKET)
            hints = [self._waiting.popitem(last=False)[0] for _ in range(count)]
            with trio.move_on_after(SEND_TIMEOUT_S) as patience:
                await link.send_hints(wire.pack_hints(self._sender, hints))
            if patience.cancelled_caught:
                raise BrokerUnavailable("the server takes nothing any more")

    async def _take_hints(self, link: Link) -> None:
        while True:
            for message in wire.unpack_hints(await link.take_hints(), but=self._sender):
                if message.topic != BROKER_STATE:
                    self._local.publish(message)

    def _become(self, link: Link | None, reason: str) -> None:
        self._link = link
        state = BrokerState(link is not None, reason)
        if state.connected != self._state.connected:
            log.info("the broker's state has changed", connected=state.connected, reason=reason)
        if state != self._state:
            self._state = state
            self._local.publish(Message(BROKER_STATE, ""))
        self._changed.set()
        self._changed = trio.Event()

    async def connected(self) -> Link:
        """Return the connection, once there is one."""
        while self._link is None:
            await self._changed.wait()
        return self._link


class _Reader(AsyncIterator[Incoming]):
    """Brings what others sent, over as many connections as it takes."""

    def __init__(self, broker: ServedBroker) -> None:
        self._broker = broker
        self._fetched: list[tuple[Link, Delivery]] = []
        self._noted = ""

    def _note(self, reason: str) -> None:
        # Once, not each second; an outage is told elsewhere.
        if reason != self._noted and self._broker.state().connected:
            log.warning("events of others cannot be fetched", reason=reason)
            self._noted = reason

    async def __anext__(self) -> Incoming:
        while True:
            await trio.lowlevel.checkpoint()
            try:
                while not self._fetched:
                    link = await self._broker.connected()
                    self._fetched = [(link, one) for one in await link.fetch()]
                link, delivery = self._fetched.pop(0)
                if (incoming := await _checked(link, delivery)) is not None:
                    return incoming
            except BrokerUnavailable as error:
                self._note(error.message)
                self._fetched.clear()
                await trio.sleep(random.uniform(0.5, 1.0))  # noqa: S311 (no secret)


async def _checked(link: Link, delivery: Delivery) -> Incoming | None:
    try:
        event = read_custom_event(delivery.payload)
    except (InvalidInput, TooLarge) as error:
        log.warning("an event from outside is no event", reason=error.message[:500])
        await link.bury(delivery, delivery.payload[:DEAD_LETTER_BYTES], error.message[:500])
        return None
    return Incoming(event, partial(link.ack, delivery))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
