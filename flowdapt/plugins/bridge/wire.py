"""Decide the bytes between the daemon and a bridge's process: length, then one msgpack message.

Both ends are ours and of one version, so nothing here is for strangers. Values never pass, only references.
"""

from __future__ import annotations

import struct
from typing import Literal

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
    ValueRef,
    WorkerEnvironment,
)
from flowdapt.plugins.bridge.engine import State

__all__ = [
    "Answer",
    "Assembler",
    "Cancel",
    "Check",
    "Ended",
    "Execute",
    "Forget",
    "FromBridge",
    "Gone",
    "Lacking",
    "Open",
    "Opened",
    "Said",
    "Store",
    "ToBridge",
    "Told",
    "pack",
    "read_from_bridge",
    "read_to_bridge",
]

_LENGTH = struct.Struct("<I")


class Open(msgspec.Struct, frozen=True, tag="open"):
    """The first message: import strings of the engine and of its options' model, the options as JSON."""

    engine: str
    model: str
    options: bytes
    environment: WorkerEnvironment


class Execute(msgspec.Struct, frozen=True, tag="execute"):
    """Run a task; `number` names the question in all that follows."""

    number: int
    call: TaskCall


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Stop what runs under this number; its end is told like any other."""

    number: int


class Store(msgspec.Struct, frozen=True, tag="store"):
    """Write a value that only the cluster has to a file."""

    number: int
    ref: ValueRef
    name: str


class Check(msgspec.Struct, frozen=True, tag="check"):
    """Tell the rows of the preflight."""

    number: int


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """Let go of what is kept for a run."""

    run: str


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """The engine takes tasks."""


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """The cluster could not be had, or is lost; the process ends after these words."""

    words: str
    fix: str = ""


class Told(msgspec.Struct, frozen=True, tag="told"):
    """What the daemon shows without asking."""

    state: State


class Said(msgspec.Struct, frozen=True, tag="said"):
    """What a task says while it runs."""

    number: int
    events: list[Started | LogLine | Progress | MetricPoint]


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """What became of a task."""

    number: int
    outcome: Finished | Failed | Lost | Cancelled


class Lacking(msgspec.Struct, frozen=True, tag="lacking"):
    """Live copies that are there no more."""

    handles: list[str]


class Answer(msgspec.Struct, frozen=True, tag="answer", omit_defaults=True):
    """What became of a question, or of a call that could not begin: `error` says which kind of refusal."""

    number: int
    ref: ValueRef | None = None
    findings: list[dict[str, str]] = []
    error: Literal["", "unavailable", "missing", "os"] = ""
    words: str = ""


ToBridge = Open | Execute | Cancel | Store | Check | Forget
FromBridge = Opened | Gone | Told | Said | Ended | Lacking | Answer

_encode = msgspec.msgpack.Encoder().encode
read_to_bridge = msgspec.msgpack.Decoder(ToBridge).decode
read_from_bridge = msgspec.msgpack.Decoder(FromBridge).decode


def pack(message: ToBridge | FromBridge) -> bytes:
    """Return the bytes of one message."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class Assembler:
    """Cuts a stream of bytes into the bodies of messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take what came and return the bodies that are whole now."""
        self._data += chunk
        bodies: list[bytes] = []
        at, end = 0, len(self._data)
        while end - at >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._data, at)
            if end - at - _LENGTH.size < size:
                break
            at += _LENGTH.size
            bodies.append(bytes(self._data[at : at + size]))
            at += size
        del self._data[:at]
        return bodies
