"""A client that keeps to no rule: raw bytes over the daemon's socket, and what a refusal must look like."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.workstation import Workstation

JSON = "application/json"
YAML = "application/yaml"
WITHIN_S = 0.1
# Where the machine is so busy that an ordinary request takes long, a refusal may take so many times that.
ORDINARY_TIMES = 25
# YAML is read letter by letter: a text that breaks at its end costs what a good one of its length does.
PER_MIB_S = 0.4


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    taken_s: float

    @property
    def problem(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


def request(
    method: str, path: str | bytes, body: bytes | str = b"", form: str = JSON, **headers: str
) -> bytes:
    """Return a request as bytes; the path goes out as it is given."""
    content = body.encode() if isinstance(body, str) else body
    target = path.encode() if isinstance(path, str) else path
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"host: x", b"connection: close"]
    if content:
        lines += [b"content-type: " + form.encode(), b"content-length: %d" % len(content)]
    lines += [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


def exchange(address: str, sent: bytes, *, timeout_s: float = 20.0) -> bytes:
    """Send bytes and read until the other side closes; it may answer before it has read them all."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(address)
        link.setblocking(False)
        return _talk(link, memoryview(sent), time.monotonic() + timeout_s)


def _talk(link: socket.socket, left: memoryview, deadline: float) -> bytes:
    got = b""
    while time.monotonic() < deadline:
        readable, writable, _ = select.select([link], [link] if left else [], [], 0.5)
        try:
            if readable:
                piece = link.recv(65536)
                if not piece:
                    return got
                got += piece
            elif writable:
                left = left[link.send(left) :]
        except (BrokenPipeError, ConnectionResetError):
            if not readable:
                left = left[:0]
                continue
            return got
    raise AssertionError(f"the connection is still open; so far: {got[:200]!r}")


def ask(address: str, sent: bytes) -> Answer:
    """Send a request and part its answer."""
    began = time.perf_counter()
    raw = exchange(address, sent)
    taken = time.perf_counter() - began
    head, _, body = raw.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        head, _, body = body.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/1.1 "), raw[:200]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(first.split()[1]), headers, body, taken)


def stored(station: Workstation) -> dict[str, int]:
    """Count what the daemon keeps: rows of every table, and files that are not its own upkeep."""
    with station.database() as database:
        names = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if not name.startswith("sqlite_")
        ]
        found = {
            name: int(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])
            for name in names
        }
    database.close()
    return found | {"files": sum(1 for path in station.home.rglob("*") if _is_kept(path))}


def _is_kept(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(("flowdapt.db", "daemon"))


def refused(
    station: Workstation, sent: bytes, statuses: tuple[int, ...] = (400, 422), code: str = ""
) -> Answer:
    """Check that a request is refused as everything bad is; return the answer.

    A clear 4xx with a code and a way out, at once, nothing stored, the daemon still answering.
    """
    before = stored(station)
    answers = [ask(station.socket_path, sent) for _ in range(3)]
    one = answers[0]
    assert one.status in statuses, (one.status, one.body[:600])
    problem = one.problem
    assert one.headers["content-type"] == "application/problem+json"
    assert problem["status"] == one.status
    assert problem["code"], problem
    assert problem["fix"], problem
    assert problem["detail"], problem
    assert not code or code in {problem["code"], *(e["code"] for e in problem["errors"])}, problem
    assert all(0x20 <= byte < 0x7F for byte in one.body), "every control is escaped"
    assert len(one.body) < 64 * 1024, "an answer is not as long as what it refuses"
    assert stored(station) == before
    at_once(station, [answer.taken_s for answer in answers], len(sent))
    return one


def at_once(station: Workstation, taken_s: list[float], sent_bytes: int = 0) -> None:
    """Check a time against 100 ms; a busy machine is told by an ordinary request and by its load."""
    ordinary = median(alive(station).taken_s for _ in range(3))
    waiting_for_each_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    allowed = max(WITHIN_S, ORDINARY_TIMES * ordinary) + PER_MIB_S * sent_bytes / 2**20
    allowed *= max(1.0, waiting_for_each_core)
    assert median(taken_s) < allowed, (taken_s, allowed, ordinary)


def alive(station: Workstation) -> Answer:
    """Check that the daemon answers a stranger."""
    answer = ask(station.socket_path, request("GET", "/livez"))
    assert answer.status == 204
    return answer


def taken(station: Workstation, sent: bytes) -> Answer:
    """Check that a request is accepted: the counterpart of what is refused."""
    answer = ask(station.socket_path, sent)
    assert answer.status < 300, (answer.status, answer.body[:600])
    return answer
