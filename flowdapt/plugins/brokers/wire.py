"""Decide what goes over the wire: JSON, bounded, with a version. What comes in is checked as hostile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.plugins.brokers.link import Outgoing
from flowdapt.ports.broker import Message

if TYPE_CHECKING:
    from flowdapt.domain.events import Event

__all__ = ["HINTS_PER_PACKET", "outgoing", "pack_hints", "unpack_hints"]

HINTS_PER_PACKET = 500
_PACKET_MAX_BYTES = 512 * 1024
_VERSION = 1


class _Packet(msgspec.Struct):
    v: int
    sender: str
    hints: list[tuple[str, str]]


def pack_hints(sender: str, hints: Sequence[tuple[str, str]]) -> bytes:
    """Return one packet of (topic, key) pairs."""
    return msgspec.json.encode(_Packet(_VERSION, sender, list(hints)))


def unpack_hints(payload: bytes, *, but: str) -> list[Message]:
    """Return the hints of a packet; none of a packet of our own, of another version, or of junk."""
    if len(payload) > _PACKET_MAX_BYTES:
        return []
    try:
        packet = msgspec.json.decode(payload, type=_Packet)
    except (msgspec.MsgspecError, RecursionError):
        return []
    if packet.v != _VERSION or packet.sender == but:
        return []
    return [Message(topic, key) for topic, key in packet.hints[:HINTS_PER_PACKET]]


def outgoing(events: Sequence[Event]) -> list[Outgoing]:
    """Return the events as other systems read them."""
    return [Outgoing(event.id, event.type, _cloud_event(event)) for event in events]


def _cloud_event(event: Event) -> bytes:
    """Return CloudEvents 1.0 JSON; what is ours beyond it are extension attributes."""
    known = {name: value for name, value in _attributes(event) if value is not None}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode()


def _attributes(event: Event) -> Iterator[tuple[str, Any]]:
    yield "specversion", "1.0"
    yield "id", event.id
    yield "source", event.source
    yield "type", event.type
    yield "subject", event.subject or None
    yield "time", event.time.isoformat()
    yield "datacontenttype", "application/json"
    yield "cursor", event.cursor
    yield "run", event.run
    yield "seq", event.seq
    yield "correlationid", event.correlation_id
    yield "causationdepth", event.causation_depth
    yield "data", event.data
