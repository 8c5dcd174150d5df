"""Say what a live connection to a broker's server must offer; `served.py` makes a broker of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FETCH_WAIT_S", "Delivery", "Link", "Outgoing"]

# So long a fetch waits for an event to come.
FETCH_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event for other systems: `id` tells repeats, `type` is what readers choose by."""

    id: str
    type: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """Bytes that another system sent, and what the link acknowledges them by."""

    payload: bytes
    receipt: object


class Link(ABC):
    """One connection, as long as it lives. Everything raises BrokerUnavailable and may be cancelled.

    Only `fetch` and `take_hints` wait for long. Several tasks use one link at once.
    """

    @abstractmethod
    async def send_hints(self, payload: bytes) -> None:
        """Send to every other connection, without waiting for an answer of theirs."""

    @abstractmethod
    async def take_hints(self) -> bytes:
        """Wait for the next bytes that a connection sent, be it this one."""

    @abstractmethod
    async def append(self, events: Sequence[Outgoing]) -> None:
        """Add to the stream of events, in order; return when the server has stored all of them."""

    @abstractmethod
    async def fetch(self) -> list[Delivery]:
        """Return some events that were sent to us, or none after FETCH_WAIT_S."""

    @abstractmethod
    async def ack(self, delivery: Delivery) -> None:
        """Tell the server never to deliver it again."""

    @abstractmethod
    async def bury(self, delivery: Delivery, payload: bytes, reason: str) -> None:
        """Put the payload into the dead-letter stream, then acknowledge the delivery."""
