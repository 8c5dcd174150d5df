"""Speak to a NATS server, in asyncio: hints by its core, events by JetStream. `nats.py` bridges it to trio.

Whatever the server or its client says is one of two things here: done, or BrokerUnavailable.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig

from flowdapt.domain.errors import BrokerUnavailable
from flowdapt.logs import get_log
from flowdapt.plugins.brokers.link import FETCH_WAIT_S, Delivery, Outgoing

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js.client import JetStreamContext

__all__ = ["NatsSession", "open_session"]

log = get_log("flowdapt.broker.nats")

CONNECT_TIMEOUT_S = 5
# A server that does not answer two of these is gone.
PING_EVERY_S = 10
JETSTREAM_TIMEOUT_S = 5.0
EVENTS_KEPT = 1_000_000
EVENTS_KEPT_S = 7 * 86400.0
# So long the server itself drops what it has been sent before.
REPEATS_KNOWN_S = 600.0
DEAD_LETTERS_KEPT = 1000
FETCHED_AT_ONCE = 10
ACK_WAIT_S = 30.0
CONSUMER = "flowdapt"
_HINTS_PENDING = 1000
_ALREADY_THERE = 10058
_TOKEN = "".join(map(chr, range(33, 127))).translate({ord(one): None for one in ".*>"})


@dataclass(frozen=True, slots=True)
class Names:
    """What is ours on the server begins with the prefix."""

    prefix: str

    @property
    def hints(self) -> str:
        return f"{self.prefix}.hints"

    @property
    def incoming(self) -> str:
        return f"{self.prefix}.incoming"

    @property
    def dead(self) -> str:
        return f"{self.prefix}.dead"

    def event(self, kind: str) -> str:
        """Return the subject of an event type; what a subject cannot hold becomes `_`."""
        safe = "".join(one if one in _TOKEN or one == "." else "_" for one in kind)
        words = [word for word in safe.split(".") if word]
        return ".".join([self.prefix, "events", *(words or "_")])

    def streams(self) -> list[StreamConfig]:
        """Return the streams that there must be."""
        return [
            StreamConfig(
                name=f"{self.prefix}-events",
                subjects=[f"{self.prefix}.events.>"],
                storage=StorageType.FILE,
                max_msgs=EVENTS_KEPT,
                max_age=EVENTS_KEPT_S,
                duplicate_window=REPEATS_KNOWN_S,
            ),
            StreamConfig(
                name=f"{self.prefix}-incoming",
                subjects=[self.incoming, f"{self.incoming}.>"],
                storage=StorageType.FILE,
                max_msgs=EVENTS_KEPT,
                max_age=EVENTS_KEPT_S,
            ),
            StreamConfig(
                name=f"{self.prefix}-dead",
                subjects=[self.dead],
                storage=StorageType.FILE,
                max_msgs=DEAD_LETTERS_KEPT,
            ),
        ]


async def open_session(url: str, prefix: str) -> NatsSession:
    """Connect and listen for hints. Raise BrokerUnavailable."""
    options = _login(url)
    client = _TlsClient() if "tls" in options else Client()
    names = Names(prefix)
    with _translated():
        try:
            await _connect(client, options)
            hints = await client.subscribe(names.hints, pending_msgs_limit=_HINTS_PENDING)
            await client.flush(CONNECT_TIMEOUT_S)
        except BaseException:
            # A client that has not come to the end of its greeting leaves its socket open.
            with suppress(Exception):
                await client.close()
            raise
    return NatsSession(client, names, hints)


async def _connect(client: Client, options: dict[str, Any]) -> None:
    await client.connect(
        **options,
        allow_reconnect=False,
        max_reconnect_attempts=1,
        reconnect_time_wait=0,
        connect_timeout=CONNECT_TIMEOUT_S,
        ping_interval=PING_EVERY_S,
        no_echo=True,
        error_cb=_note,
        name="flowdapt",
    )


def _login(url: str) -> dict[str, Any]:
    """Return the options for a URL, which may name several servers: `nats://user:word@one:4222,two`."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    options: dict[str, Any] = {
        "servers": [f"{parts.scheme}://{host}" for host in hosts.split(",")],
    }
    if parts.scheme == "tls":
        options["tls"] = ssl.create_default_context()
    if colon:
        options |= {"user": unquote(user), "password": unquote(password)}
    elif user:
        options["token"] = unquote(user)
    return options


class _TlsClient(Client):
    """Tell no password to a server, or to somebody in between, that speaks no TLS."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server offers no TLS")
        return super()._connect_command()


async def _note(error: Exception) -> None:
    log.debug("the client reports", reason=str(error) or repr(error))


class NatsSession:
    """One connection. Its methods are coroutines of asyncio."""

    def __init__(self, client: Client, names: Names, hints: Subscription) -> None:
        self._client = client
        self._stream: JetStreamContext = client.jetstream(timeout=JETSTREAM_TIMEOUT_S)
        self._names = names
        self._hints = hints
        self._streams_known = False
        self._incoming: JetStreamContext.PullSubscription | None = None
        self._consuming = False

    async def close(self) -> None:
        with suppress(nats.errors.Error, OSError):
            await self._client.close()

    async def send_hints(self, payload: bytes) -> None:
        with _translated():
            await self._client.publish(self._names.hints, payload)
            await self._client.flush(CONNECT_TIMEOUT_S)

    async def take_hints(self) -> bytes:
        with _translated():
            return (await self._hints.next_msg(timeout=None)).data

    async def append(self, events: Sequence[Outgoing]) -> None:
        with _translated(self._forget_streams):
            await self._know_streams()
            # All are written before the first answer is waited for: order, and one round trip.
            await asyncio.gather(*map(self._append_one, events))

    async def _append_one(self, event: Outgoing) -> None:
        subject = self._names.event(event.type)
        try:
            await self._stream.publish(subject, event.payload, headers={"Nats-Msg-Id": event.id})
        except nats.errors.MaxPayloadError:
            # Repeating cannot help, and must not hold up everything behind it.
            log.warning("an event is larger than the server takes", id=event.id, type=event.type)

    async def fetch(self) -> list[Delivery]:
        with _translated(self._forget_consumer):
            incoming = self._incoming
            if incoming is None or not self._consuming:
                incoming = await self._consume()
            try:
                found = await incoming.fetch(FETCHED_AT_ONCE, timeout=FETCH_WAIT_S)
            except nats.errors.TimeoutError:
                return []
            return [Delivery(one.data, one) for one in found]

    async def ack(self, message: Msg) -> None:
        with _translated():
            await message.ack_sync(timeout=JETSTREAM_TIMEOUT_S)

    async def bury(self, message: Msg, payload: bytes, reason: str) -> None:
        headers = {"Reason": reason.encode("ascii", "replace").decode()}
        with _translated(self._forget_streams):
            await self._stream.publish(self._names.dead, payload, headers=headers)
            await message.ack_sync(timeout=JETSTREAM_TIMEOUT_S)

    async def _consume(self) -> JetStreamContext.PullSubscription:
        if self._incoming is not None:
            with suppress(nats.errors.Error):
                await self._incoming.unsubscribe()
        await self._know_streams()
        stream = f"{self._names.prefix}-incoming"
        config = ConsumerConfig(
            durable_name=CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S
        )
        await self._stream.add_consumer(stream, config)
        incoming = await self._stream.pull_subscribe_bind(CONSUMER, stream)
        self._incoming, self._consuming = incoming, True
        return incoming

    async def _know_streams(self) -> None:
        """Make the streams that are not there; those that somebody made otherwise stay as they are."""
        if self._streams_known:
            return
        for stream in self._names.streams():
            try:
                await self._stream.add_stream(stream)
            except nats.js.errors.APIError as error:
                if error.err_code != _ALREADY_THERE:
                    raise
        self._streams_known = True

    def _forget_streams(self) -> None:
        """Look at the streams again next time: somebody may have deleted them."""
        self._streams_known = False

    def _forget_consumer(self) -> None:
        self._streams_known = self._consuming = False


@contextmanager
def _translated(on_error: Any = lambda: None) -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        # A connection that is lost cancels what waits on it; being cancelled ourselves is another thing.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BrokerUnavailable("the connection to NATS was lost") from None
    # The client lets through whatever its transport and its parser raise.
    except Exception as error:
        on_error()
        raise BrokerUnavailable(f"NATS: {str(error) or type(error).__name__}") from error
