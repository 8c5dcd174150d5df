"""Decide the bytes between a daemon and its local worker: packets of a bounded, framed protocol.

A message is the msgpack list of what one side has to say at once, cut into packets that fit a
SOCK_SEQPACKET socket: the kernel keeps their bounds, so junk from stage code is one bad packet and
never shifts what follows. Sockets, waiting and what a bad frame means are left to both ends.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from flowdapt.domain.task import (
    Cancelled,
    Failed,
    Finished,
    LogLine,
    Lost,
    MetricPoint,
    Progress,
    Started,
    TaskCall,
    WorkerEnvironment,
)
from flowdapt.runtime.held import Copy

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MESSAGE_MAX_BYTES",
    "PACKET_MAX_BYTES",
    "Assembler",
    "BadFrame",
    "FrameTooLarge",
    "HostedCall",
    "Retiring",
    "Setup",
    "ToDaemon",
    "encode_message",
    "pack",
    "read_call",
    "read_hosted",
    "read_message",
    "read_setup",
]

PACKET_MAX_BYTES = 128 * 1024
MESSAGE_MAX_BYTES = 16 * 1024 * 1024

# magic, flags, number of the task: 0 is the set-up.
_HEADER = struct.Struct("<2sHI")
_MAGIC = b"fd"
_MORE = 1
_ROOM = PACKET_MAX_BYTES - _HEADER.size


class Setup(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first message to a worker: where it finds things, and its limits.

    hosted        it is the child of a cluster's worker: calls come as `HostedCall`, large results go
                  back as memory.
    shares_files  the values' root is the daemon's.
    """

    environment: WorkerEnvironment
    hosted: bool = False
    shares_files: bool = True


class HostedCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call with the live copies that its host lends; a large result is kept under `handle`."""

    call: TaskCall
    handle: str
    copies: tuple[Copy, ...] = ()


class Retiring(msgspec.Struct, frozen=True, tag="retiring"):
    """The worker ends after this task (something of it was left behind): send it nothing more."""

    reason: str


ToDaemon = (
    Started | LogLine | Progress | MetricPoint | Finished | Failed | Lost | Cancelled | Retiring
)


class BadFrame(Exception):
    """Bytes that no honest peer sends."""


class FrameTooLarge(Exception):
    """The message is over the bound; nothing was sent."""


_encode = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(list[ToDaemon]).decode
_decode_call = msgspec.msgpack.Decoder(TaskCall).decode
_decode_hosted = msgspec.msgpack.Decoder(HostedCall).decode
_decode_setup = msgspec.msgpack.Decoder(Setup).decode


def encode_message(said: Sequence[ToDaemon]) -> bytes:
    """Return the body of a message, for whoever carries it otherwise than in packets."""
    return _encode(said)


def pack(number: int, content: TaskCall | HostedCall | Setup | list[ToDaemon]) -> list[bytes]:
    """Return the packets of a message; raise FrameTooLarge."""
    body = _encode(content)
    if len(body) <= _ROOM:
        return [_HEADER.pack(_MAGIC, 0, number) + body]
    if len(body) > MESSAGE_MAX_BYTES:
        raise FrameTooLarge(f"a message of {len(body)} bytes, {MESSAGE_MAX_BYTES} are allowed")
    cuts = range(0, len(body), _ROOM)
    return [
        _HEADER.pack(_MAGIC, _MORE if cut + _ROOM < len(body) else 0, number)
        + body[cut : cut + _ROOM]
        for cut in cuts
    ]


def read_message(body: bytes | memoryview) -> list[ToDaemon]:
    """Decode what a worker said; raise BadFrame."""
    try:
        return _decode_message(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadFrame(str(error)) from error


def read_call(body: bytes | memoryview) -> TaskCall:
    return _decode_call(body)


def read_hosted(body: bytes | memoryview) -> HostedCall:
    return _decode_hosted(body)


def read_setup(body: bytes | memoryview) -> Setup:
    return _decode_setup(body)


class Assembler:
    """Put packets of one direction together again. One per connection."""

    __slots__ = ("_number", "_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._number = 0

    def feed(self, packet: memoryview) -> tuple[int, bytes | memoryview] | None:
        """Return (number, body) when the message is whole, else None; raise BadFrame.

        The body may be a view into `packet`: use it before the buffer is filled again.
        """
        if len(packet) < _HEADER.size:
            raise BadFrame(f"a packet of {len(packet)} bytes")
        magic, flags, number = _HEADER.unpack_from(packet)
        if magic != _MAGIC or flags > _MORE:
            raise BadFrame("a packet that is none of ours")
        if not self._parts and not flags:
            return number, packet[_HEADER.size :]
        return self._add(flags, number, packet)

    def _add(self, flags: int, number: int, packet: memoryview) -> tuple[int, bytes] | None:
        if self._parts and number != self._number:
            raise BadFrame("a message that breaks off")
        self._number = number
        self._size += len(packet) - _HEADER.size
        if self._size > MESSAGE_MAX_BYTES:
            raise BadFrame(f"a message over {MESSAGE_MAX_BYTES} bytes")
        self._parts.append(bytes(packet[_HEADER.size :]))
        if flags:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return number, whole
