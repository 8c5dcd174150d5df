"""A scripted HTTP server on a real Unix socket: what a daemon says, and how connections break."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

RUN: dict[str, Any] = {
    "uid": "01a20cc2d15473bda782a9e32b805c61",
    "name": "brave-otter-2b805c61",
    "workflow": "train",
    "revision": 1,
    "state": "finished",
    "executor": "local",
    "namespace": "default",
    "created_at": "2026-11-24T08:00:00Z",
    "started_at": "2026-11-24T08:00:01Z",
    "finished_at": "2026-11-24T08:00:03Z",
    "duration_s": 2.0,
    "result": {"loss": 0.5},
    "stages": [],
}


def run(**changes: Any) -> dict[str, Any]:
    return RUN | changes


@dataclass(frozen=True)
class Asked:
    """One request as it came over the socket."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def json(self) -> Any:
        return json.loads(self.body)


# An answer is raw bytes, in as many pieces as wanted; the connection is closed after the last.
Answer = Iterable[bytes]
Script = Callable[[Asked], Answer]


def answer(value: Any, status: int = 200, **headers: str) -> Answer:
    body = json.dumps(value).encode()
    return [
        _head(
            status,
            {"content-type": "application/json", "content-length": str(len(body))}
            | _dashed(headers),
        )
        + body
    ]


def problem(status: int, code: str, detail: str = "it is so", **more: Any) -> Answer:
    return answer({"status": status, "title": "t", "detail": detail, "code": code, **more}, status)


def stream(*events: tuple[str, Any], first_id: int = 1, cut: bool = False) -> Answer:
    """Return a chunked event stream; `cut` ends it in the middle, as a killed daemon does."""
    yield _head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    yield _chunk(b": open\n\n")
    for number, (kind, value) in enumerate(events, first_id):
        yield _chunk(f"event: {kind}\nid: {number}\ndata: {json.dumps(value)}\n\n".encode())
    if not cut:
        yield b"0\r\n\r\n"


def hang_up() -> Answer:
    """Close without a word: the reply is lost."""
    return []


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join([*lines, "connection: close"]) + "\r\n\r\n").encode()


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@dataclass
class FakeDaemon:
    """Answers by script: one per (method, path); a list of answers is used up, the last one stays."""

    path: Path
    asked: list[Asked] = field(default_factory=list)
    scripts: dict[tuple[str, str], list[Script]] = field(default_factory=dict)

    def on(self, method: str, path: str, *scripts: Script | Answer) -> None:
        """Script a path below /api/v1 (or one that begins with /livez and its like)."""
        full = path if path.startswith(("/readyz", "/metrics", "/livez")) else f"/api/v1{path}"
        self.scripts[(method, full)] = [one if callable(one) else _always(one) for one in scripts]

    def calls(self, method: str, path: str) -> list[Asked]:
        return [one for one in self.asked if (one.method, one.path) == (method, f"/api/v1{path}")]

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(link,), daemon=True).start()

    def _serve_one(self, link: socket.socket) -> None:
        with link, link.makefile("rb") as reader:
            try:
                asked = _read(reader)
                if asked is None:
                    return
                self.asked.append(asked)
                for piece in self._script(asked)(asked):
                    link.sendall(piece)
            except OSError:
                return

    def _script(self, asked: Asked) -> Script:
        scripts = self.scripts.get((asked.method, asked.path))
        if scripts is None:
            return lambda _: problem(
                404, "not_found", f"nothing scripted for {asked.method} {asked.path}"
            )
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]


def _always(given: Answer) -> Script:
    pieces = list(given)
    return lambda _: pieces


def _read(reader: Any) -> Asked | None:
    first = reader.readline().decode("latin-1").split(" ")
    if len(first) != 3:
        return None
    headers = {}
    while line := reader.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", 0)))
    return Asked(first[0], first[1], headers, body)


@contextmanager
def listening(path: Path) -> Iterator[FakeDaemon]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    daemon = FakeDaemon(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=daemon.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield daemon
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            path.unlink(missing_ok=True)
