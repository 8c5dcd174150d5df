"""The broker on Redis Streams, spoken to by coredis on trio: hints on a short stream, events on long ones."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trio

from flowdapt.domain.errors import BrokerUnavailable
from flowdapt.plugins.brokers.link import FETCH_WAIT_S, Delivery, Link, Outgoing
from flowdapt.plugins.brokers.missing import missing_library
from flowdapt.plugins.brokers.served import ServedBroker

if TYPE_CHECKING:
    import coredis

__all__ = ["RedisBroker"]

# Redis holds streams in memory.
EVENTS_KEPT = 100_000
HINTS_KEPT = 1000
DEAD_LETTERS_KEPT = 1000
FETCHED_AT_ONCE = 10
# An event that was fetched and not acknowledged is fetched again after this.
ACK_WAIT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
# A command that waits on the server has this long beyond what it waits for.
PATIENCE_S = 5.0
GROUP = "flowdapt"
# Who claims pending events begins at the oldest.
_OLDEST = "0-0"


class RedisBroker(ServedBroker):
    """`redis://` or `rediss://`, one server of version 6.2 or newer."""

    def __init__(self, url: str, *, prefix: str = "flowdapt") -> None:
        super().__init__()
        self._url = url
        self._prefix = prefix
        try:
            import coredis
        except ImportError as error:
            raise missing_library(url, "redis", error) from error
        self._client: Callable[..., coredis.Redis[bytes]] = coredis.Redis.from_url

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        with _translated():
            client = self._client(
                self._url,
                decode_components=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                **_tls(self._url),
            )
            async with client:
                link = _RedisLink(client, self._prefix)
                await link.begin()
                yield link


def _tls(url: str) -> dict[str, ssl.SSLContext]:
    # The client's own default does not look at the server's name.
    if urlsplit(url).scheme == "rediss":
        return {"ssl_context": ssl.create_default_context()}
    return {}


class _RedisLink(Link):
    def __init__(self, client: coredis.Redis[bytes], prefix: str) -> None:
        self._client = client
        self._hints = f"{prefix}:hints"
        self._events = f"{prefix}:events"
        self._incoming = f"{prefix}:incoming"
        self._dead = f"{prefix}:dead"
        self._consumer = socket.gethostname()
        self._last_hint: bytes | str = _OLDEST
        self._group_known = False
        self._claimed_at = -ACK_WAIT_S

    async def begin(self) -> None:
        """Note where the hints stand, so that each that comes from now on is read."""
        newest = await self._client.xrevrange(self._hints, count=1)
        if newest:
            self._last_hint = newest[0].identifier

    async def send_hints(self, payload: bytes) -> None:
        with _translated():
            await self._add(self._hints, {"hints": payload}, HINTS_KEPT)

    async def take_hints(self) -> bytes:
        while True:
            with _translated(), trio.fail_after(FETCH_WAIT_S + PATIENCE_S):
                found = await self._client.xread(
                    {self._hints: self._last_hint}, count=1, block=int(FETCH_WAIT_S * 1000)
                )
            for entry in _entries(found):
                self._last_hint = entry.identifier
                return _field(entry, b"hints")

    async def append(self, events: Sequence[Outgoing]) -> None:
        with _translated():
            async with self._client.pipeline(transaction=False) as pipe:
                answers = [
                    pipe.xadd(
                        self._events,
                        {"id": event.id, "type": event.type, "event": event.payload},
                        trim_strategy=_maxlen(),
                        trim_operator=_roughly(),
                        threshold=EVENTS_KEPT,
                    )
                    for event in events
                ]
            for answer in answers:
                await answer

    async def fetch(self) -> list[Delivery]:
        try:
            with _translated(), trio.fail_after(FETCH_WAIT_S + PATIENCE_S):
                await self._know_group()
                entries = await self._unacknowledged() or await self._new()
        except BrokerUnavailable:
            # Also when somebody has deleted the stream, and the group with it.
            self._group_known = False
            raise
        return [Delivery(_field(entry, b"event"), entry.identifier) for entry in entries]

    async def ack(self, delivery: Delivery) -> None:
        with _translated(), trio.fail_after(PATIENCE_S):
            await self._acknowledge(delivery)

    async def bury(self, delivery: Delivery, payload: bytes, reason: str) -> None:
        with _translated(), trio.fail_after(PATIENCE_S):
            letter = {"event": payload, "reason": reason}
            await self._add(self._dead, letter, DEAD_LETTERS_KEPT)
            await self._acknowledge(delivery)

    # -- inside ----------------------------------------------------------------------------------

    async def _add(self, key: str, fields: dict[str, Any], kept: int) -> None:
        await self._client.xadd(
            key, fields, trim_strategy=_maxlen(), trim_operator=_roughly(), threshold=kept
        )

    async def _acknowledge(self, delivery: Delivery) -> None:
        receipt: Any = delivery.receipt
        await self._client.xack(self._incoming, GROUP, [receipt])

    async def _know_group(self) -> None:
        if self._group_known:
            return
        from coredis.exceptions import StreamDuplicateConsumerGroupError

        with suppress(StreamDuplicateConsumerGroupError):
            await self._client.xgroup_create(self._incoming, GROUP, "0", mkstream=True)
        self._group_known = True

    async def _unacknowledged(self) -> Sequence[Any]:
        """Take over what was fetched long ago by whoever and not acknowledged; looked at now and then."""
        now = trio.current_time()
        if now - self._claimed_at < ACK_WAIT_S:
            return []
        claimed: Any = await self._client.xautoclaim(
            self._incoming,
            GROUP,
            self._consumer,
            int(ACK_WAIT_S * 1000),
            _OLDEST,
            count=FETCHED_AT_ONCE,
        )
        found = [entry for entry in claimed[1] if entry.field_values]
        if not found:
            self._claimed_at = now
        return found

    async def _new(self) -> Sequence[Any]:
        found = await self._client.xreadgroup(
            GROUP,
            self._consumer,
            {self._incoming: ">"},
            count=FETCHED_AT_ONCE,
            block=int(FETCH_WAIT_S * 1000),
        )
        return _entries(found)


def _entries(found: Any) -> Sequence[Any]:
    """Return the entries of the one stream that was read."""
    return next(iter(found.values()), ()) if found else ()


def _field(entry: Any, name: bytes) -> bytes:
    """Return a field; empty when whoever wrote the entry left it out."""
    value: bytes = entry.field_values.get(name, b"")
    return value


def _maxlen() -> Any:
    from coredis.tokens import PureToken

    return PureToken.MAXLEN


def _roughly() -> Any:
    from coredis.tokens import PureToken

    return PureToken.APPROXIMATELY


@contextmanager
def _translated() -> Iterator[None]:
    """Say BrokerUnavailable for whatever a server, a socket or the client's nursery raises."""
    failed: BaseException | None = None
    try:
        yield
    except* BrokerUnavailable as group:
        failed = group
    except* Exception as group:
        failed = group
    if failed is not None:
        raise _told(failed) from failed


def _told(error: BaseException) -> BrokerUnavailable:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, BrokerUnavailable):
        return error
    return BrokerUnavailable(f"Redis: {str(error) or type(error).__name__}")
