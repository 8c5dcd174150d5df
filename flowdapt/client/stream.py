"""Decode server-sent events from bytes as they come, whoever reads them. No I/O.

Reconnecting is the client's: it repeats the request with `Last-Event-ID` set to `last_id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flowdapt.domain.errors import TooLarge

__all__ = ["EventDecoder", "ServerEvent"]

_LONGEST_EVENT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event of a stream: its type (`message` when none is given), id and text."""

    type: str
    data: str
    id: str | None = None

    def json(self) -> Any:
        return json.loads(self.data)


class EventDecoder:
    """Turn chunks of a `text/event-stream` into events (WHATWG rules; comments are keep-alives)."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self._rest = b""
        self._skip_newline = False
        self._type = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """Yield the events that the chunk completes. Raise TooLarge for an endless one."""
        for line in self._lines(chunk):
            event = self._take(line.decode("utf-8", "replace"))
            if event is not None:
                yield event

    def restarted(self) -> EventDecoder:
        """Return a decoder for the next connection, which knows where this one ended."""
        new = EventDecoder()
        new.last_id = self.last_id
        return new

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        if self._skip_newline and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._skip_newline = chunk.endswith(b"\r") if chunk else self._skip_newline
        text = (self._rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = text.split(b"\n")
        if len(self._rest) > _LONGEST_EVENT:
            raise TooLarge("the server sent an event without end")
        yield from lines

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._size += len(value)
            if self._size > _LONGEST_EVENT:
                raise TooLarge("the server sent an event without end")
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, kind = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        return ServerEvent(kind or "message", "\n".join(data), self.last_id) if data else None
