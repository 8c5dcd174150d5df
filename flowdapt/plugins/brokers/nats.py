"""The broker on NATS: hints by core NATS, events on JetStream. Its client lives on an asyncio loop in a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.errors import BrokerUnavailable
from flowdapt.plugins.brokers.link import Delivery, Link, Outgoing
from flowdapt.plugins.brokers.missing import missing_library
from flowdapt.plugins.brokers.served import ServedBroker
from flowdapt.plugins.futures import Portal, open_portal

if TYPE_CHECKING:
    from flowdapt.plugins.brokers.nats_session import NatsSession

__all__ = ["NatsBroker"]

_CLOSE_TIMEOUT_S = 2.0


class NatsBroker(ServedBroker):
    """`nats://` or `tls://`; several servers are separated by commas."""

    def __init__(self, url: str, *, prefix: str = "flowdapt") -> None:
        super().__init__()
        self._url = url
        self._prefix = prefix
        try:
            from flowdapt.plugins.brokers.nats_session import open_session
        except ImportError as error:
            raise missing_library(url, "nats", error) from error
        self._open = open_session

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        async with open_portal("flowdapt-nats") as portal:
            session = await _asked(portal, self._open, self._url, self._prefix)
            try:
                yield _NatsLink(portal, session)
            finally:
                with (
                    trio.CancelScope(shield=True),
                    trio.move_on_after(_CLOSE_TIMEOUT_S),
                    suppress(BrokerUnavailable),
                ):
                    await _asked(portal, session.close)


class _NatsLink(Link):
    def __init__(self, portal: Portal, session: NatsSession) -> None:
        self._portal = portal
        self._session = session

    async def send_hints(self, payload: bytes) -> None:
        await _asked(self._portal, self._session.send_hints, payload)

    async def take_hints(self) -> bytes:
        taken: bytes = await _asked(self._portal, self._session.take_hints)
        return taken

    async def append(self, events: Sequence[Outgoing]) -> None:
        await _asked(self._portal, self._session.append, events)

    async def fetch(self) -> list[Delivery]:
        fetched: list[Delivery] = await _asked(self._portal, self._session.fetch)
        return fetched

    async def ack(self, delivery: Delivery) -> None:
        await _asked(self._portal, self._session.ack, delivery.receipt)

    async def bury(self, delivery: Delivery, payload: bytes, reason: str) -> None:
        await _asked(self._portal, self._session.bury, delivery.receipt, payload, reason)


async def _asked(portal: Portal, function: Any, *given: object) -> Any:
    try:
        return await portal.call(function, *given)
    except CancelledError:
        raise BrokerUnavailable("the connection to NATS was closed") from None
