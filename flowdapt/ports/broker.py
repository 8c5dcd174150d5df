"""Promise wake-ups between services, and the way of events to and from other systems.

Wake-ups are hints, never facts: losing all of them costs latency only. A subscriber holds at most
`capacity` of them; when it is full the oldest is dropped, since a newer one says the same. They arrive at
most once per subscriber and in order per publisher in one process; between daemons they may be lost,
repeated and reordered. Events are facts of the journal: an outside broker gets copies, the rows stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flowdapt.domain.errors import BrokerUnavailable

if TYPE_CHECKING:
    import trio

    from flowdapt.domain.events import Event, EventDraft

__all__ = [
    "BROKER_STATE",
    "DELIVERY_READY",
    "EXECUTORS_CHANGED",
    "RUN_CANCEL",
    "RUN_ENDED",
    "RUN_PROGRESS",
    "RUN_READY",
    "Broker",
    "BrokerState",
    "Incoming",
    "Message",
]

RUN_READY = "run.ready"  # a run is there to be claimed or driven; key: run uid
RUN_CANCEL = "run.cancel"  # cancel_requested_at was set; key: run uid
RUN_PROGRESS = "run.progress"  # something of the run changed; key: run uid
RUN_ENDED = "run.ended"  # the run is terminal; key: run uid; value: the Run, in one process
LOG_LINES = "log.lines"  # new log lines lie in the log store; key: run uid
EVENT_ADDED = "event.added"  # the journal grew; key: event type
DELIVERY_READY = "delivery.ready"  # an action is to be done; key: the rule
EXECUTORS_CHANGED = "executors.changed"  # profiles or the active executor; key: an executor
BROKER_STATE = "broker.state"  # `Broker.state()` has changed; never leaves the process


@dataclass(frozen=True, slots=True)
class Message:
    """One hint. `value` is a courtesy inside one process: None after a trip through a server."""

    topic: str
    key: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class BrokerState:
    """Whether the broker's server answers; `reason` says in words why not."""

    connected: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One event that another system sent: valid, and not yet acknowledged.

    Call `ack` once its effect is committed. It raises BrokerUnavailable when the server does not
    hear it; then the event comes again.
    """

    event: EventDraft
    ack: Callable[[], Awaitable[None]]


class Broker(ABC):
    """Publishes and subscribes; an outside one also takes and brings events.

    An outside broker is made as `Class(url, prefix=PREFIX)`: the setting `broker.url` as it stands,
    and `broker.prefix`, with which every name that it uses on the server begins.
    """

    carries_events: ClassVar[bool] = False
    """Whether `relay` and `incoming` lead anywhere: False for a broker inside one process."""

    @abstractmethod
    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled; ready when a subscription would see a publication.

        A server that does not answer is no reason to wait or to end: connect again and again.
        """

    @abstractmethod
    def publish(self, message: Message) -> None:
        """Hand the message over; never blocks, never raises. Call it on the daemon's thread."""

    @abstractmethod
    def subscribe(
        self, *topics: str, key: str | None = None, capacity: int = 10_000
    ) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Yield the messages of these topics (and of this key only) from entering on."""

    def state(self) -> BrokerState:
        """Say whether the server answers. A change is published as BROKER_STATE, locally."""
        return BrokerState(connected=True)

    async def relay(self, events: Sequence[Event]) -> None:
        """Hand events of the journal to the durable stream; return when the server has them.

        Repeats are harmless: each carries its id, by which the server or the reader knows it again.
        In order while nothing fails; after a failure a repeat may come behind later ones, so readers
        order a run's events by `seq`. Raise BrokerUnavailable, soon, when the server does not
        acknowledge all of them; some may be there then. Cancelling it is a failure of that kind.
        """
        raise BrokerUnavailable("this broker reaches no other system")

    @asynccontextmanager
    async def incoming(self) -> AsyncIterator[AsyncIterator[Incoming]]:
        """Yield what other systems send, at least once each, across outages of the server.

        Only valid events come out. Anything else (no JSON, too large, unknown version, wrong types) is
        put into a bounded dead-letter stream and acknowledged. Nothing is unpickled or executed. With
        several daemons each event goes to one of them; what one does not acknowledge another gets.
        """
        yield _Nothing()


class _Nothing(AsyncIterator[Incoming]):
    """What an in-process broker brings from outside."""

    async def __anext__(self) -> Incoming:
        import trio

        await trio.sleep_forever()
        raise AssertionError("sleep_forever returned")
