"""Decide how the command line speaks HTTP/1.1 over the daemon's Unix socket, with nothing to import.

One connection per request: no pool, and no connection that the server closes meanwhile. Why not
httpx here is told in the decisions: its import costs more than all the rest of a command.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from flowdapt.client.wire import ConnectionLost, Request, Response
from flowdapt.domain.errors import FlowdaptError, InvalidInput, TimedOut, TooLarge, Unreachable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["UnixStreamed", "UnixTransport"]

ANSWER_S = 30.0
SILENCE_S = 50.0
_CHUNK = 64 * 1024
_LONGEST_LINE = 64 * 1024
_MOST_HEADERS = 200


@dataclass(frozen=True, slots=True)
class UnixStreamed:
    """An answer whose body comes in pieces."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class UnixTransport:
    """Carry requests to a Unix socket; the contract is `transports.Transport`."""

    def __init__(self, path: Path | str, *, timeout_s: float = ANSWER_S) -> None:
        self._path, self._timeout_s = os.fspath(path), timeout_s

    def send(self, request: Request) -> Response:
        with self._exchange(request, self._timeout_s + request.patience_s) as answer:
            return Response(answer.status, answer.headers, b"".join(answer.chunks))

    @contextmanager
    def stream(self, request: Request) -> Iterator[UnixStreamed]:
        with self._exchange(request, SILENCE_S + request.patience_s) as answer:
            yield answer

    def close(self) -> None:
        """Nothing stays open between requests."""

    @contextmanager
    def _exchange(self, request: Request, timeout_s: float) -> Iterator[UnixStreamed]:
        with self._connected() as link:
            link.settimeout(timeout_s)
            with _told_in_our_words(self._path), link.makefile("rb") as reader:
                _write(link, request)
                status, headers = _read_head(reader)
                yield UnixStreamed(status, headers, _body(reader, request.method, status, headers))

    def _connected(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(5.0)
        try:
            link.connect(self._path)
        except OSError as error:
            link.close()
            raise Unreachable(
                f"no daemon answers at {self._path} ({error.strerror or error})",
                fix="flowdapt up",
            ) from error
        return link


@contextmanager
def _told_in_our_words(path: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise TimedOut("the daemon did not answer in time", fix="flowdapt status") from error
    except (ConnectionError, EOFError) as error:
        raise ConnectionLost(f"the connection to {path} broke before the answer") from error


def _write(link: socket.socket, request: Request) -> None:
    names = {name.lower() for name, _ in request.headers}
    head = [f"{request.method} {request.target} HTTP/1.1", "host: localhost", "connection: close"]
    if "accept" not in names:
        head.append("accept: application/json, */*")
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        head.append(f"content-length: {len(request.body)}")
    for name, value in request.headers:
        if not (name + value).isprintable():
            raise InvalidInput(
                f"the header {name!r} holds a control character or bytes of no letter",
                code="request.invalid",
                fix="write it in printable ASCII",
            )
        head.append(f"{name}: {value}")
    try:
        link.sendall(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + request.body)
    except BrokenPipeError:
        # A server may refuse a body before it has read it all: the answer is there to be read.
        return


def _line(reader: BinaryIO) -> bytes:
    line = reader.readline(_LONGEST_LINE + 1)
    if len(line) > _LONGEST_LINE:
        raise TooLarge("the server sent a header line without end")
    if not line.endswith(b"\n"):
        raise EOFError
    return line.rstrip(b"\r\n")


def _read_head(reader: BinaryIO) -> tuple[int, dict[str, str]]:
    """Return status and headers of the final answer; interim ones (1xx) are passed over."""
    while True:
        version, _, rest = _line(reader).partition(b" ")
        code = rest[:3]
        if not version.startswith(b"HTTP/1.") or not code.isdigit():
            raise FlowdaptError("what answers at the socket does not speak HTTP")
        headers = _read_headers(reader)
        if not code.startswith(b"1"):
            return int(code), headers


def _read_headers(reader: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = _line(reader)
        if not line:
            return headers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    raise TooLarge("the server sent headers without end")


def _body(
    reader: BinaryIO, method: str, status: int, headers: Mapping[str, str]
) -> Iterator[bytes]:
    if method == "HEAD" or status in {204, 304}:
        return
    if "chunked" in headers.get("transfer-encoding", "").lower():
        yield from _chunked(reader)
    elif (length := headers.get("content-length", "")).isdigit():
        yield from _exactly(reader, int(length))
    else:
        while piece := _some(reader, _CHUNK):
            yield piece


def _chunked(reader: BinaryIO) -> Iterator[bytes]:
    while size := int(_line(reader).partition(b";")[0], 16):
        yield from _exactly(reader, size)
        _line(reader)
    while _line(reader):
        pass


def _exactly(reader: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = _some(reader, min(size, _CHUNK))
        if not piece:
            raise EOFError
        size -= len(piece)
        yield piece


def _some(reader: BinaryIO, size: int) -> bytes:
    """Return what has come, without waiting for all of it: a stream's events are small."""
    read1 = getattr(reader, "read1", reader.read)
    piece: bytes = read1(size)
    return piece
