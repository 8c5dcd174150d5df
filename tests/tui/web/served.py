"""The web server of the screens as a process of its own, and browsers that keep to no rule."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    RejectConnection,
    Request,
    TextMessage,
)

SHOWN = [sys.executable, str(Path(__file__).with_name("shown.py"))]
SERVE = """
import sys
from flowdapt.tui.web.main import serve
sys.exit(serve(
    program=sys.argv[1:], say=lambda text: print(text, flush=True),
    most_tabs={most}, absence_s={absence_s},
))
"""


@dataclass
class Served:
    """A server that is running, and the link that it gave."""

    process: subprocess.Popen[str]
    link: str
    cookie: str = ""
    lines: list[Line] = field(default_factory=list)

    @property
    def port(self) -> int:
        return urlsplit(self.link).port or 0

    @property
    def place(self) -> str:
        return urlsplit(self.link).path

    @property
    def entrance(self) -> str:
        return f"{self.place}?{urlsplit(self.link).query}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """Send one request; `host=""` sends none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host="host" in headers)
        for name, value in headers.items():
            for one in value.split("|") if value else []:
                connection.putheader(name.replace("_", "-"), one)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def enter(self) -> str:
        """Use the link; return the cookie."""
        answer = self.ask(self.entrance)
        assert answer.status == 200
        self.cookie = str(answer.headers["set-cookie"]).partition(";")[0]
        return self.cookie

    def line(self, **headers: str) -> Line:
        """Open the line of a tab, by default as the page does."""
        given = {"origin": f"http://127.0.0.1:{self.port}", "cookie": self.cookie} | headers
        line = Line.open(self.port, f"{self.place}terminal", given)
        self.lines.append(line)
        return line

    def tab(self, columns: int = 80, rows: int = 24, session: str | None = None) -> Line:
        """Open a tab and wait until its program reads keys."""
        line = self.line()
        line.tell(type="open", columns=columns, rows=rows, session=session)
        line.until_told("session")
        if session is None:
            line.until("size")
        return line

    def hang_up(self) -> None:
        for line in self.lines:
            line.link.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)


@dataclass
class Line:
    """One WebSocket, and what came over it."""

    link: socket.socket
    connection: WSConnection
    output: str = ""
    told: list[dict[str, Any]] = field(default_factory=list)
    status: int = 0
    closed: int | None = None

    @classmethod
    def open(cls, port: int, path: str, headers: dict[str, str]) -> Line:
        link = socket.create_connection(("127.0.0.1", port), timeout=10)
        line = cls(link, WSConnection(ConnectionType.CLIENT))
        host = headers.pop("host", f"127.0.0.1:{port}")
        extra = [(name.encode(), value.encode()) for name, value in headers.items() if value]
        line._send(Request(host=host, target=path, extra_headers=extra))
        while not line.status:
            line.take_in()
        return line

    @property
    def key(self) -> str:
        return str(next(one["key"] for one in self.told if one["type"] == "session"))

    def tell(self, **message: Any) -> None:
        self._send(TextMessage(json.dumps(message)))

    def say(self, text: str) -> None:
        self._send(TextMessage(text))

    def type(self, keys: str | bytes) -> None:
        self._send(BytesMessage(keys.encode() if isinstance(keys, str) else keys))

    def until(self, word: str) -> str:
        """Read until the program has written a word; return all that it wrote."""
        while word not in self.output:
            assert self.closed is None, (word, self.output[-500:], self.told, self.closed)
            self.take_in()
        return self.output

    def until_told(self, kind: str) -> dict[str, Any]:
        while not any(one["type"] == kind for one in self.told):
            assert self.closed is None, (kind, self.told, self.closed)
            self.take_in()
        return next(one for one in self.told if one["type"] == kind)

    def until_closed(self) -> int:
        while self.closed is None:
            self.take_in()
        return self.closed

    def pid(self) -> int:
        """Ask the program for its process."""
        self.type("i")
        found = re.search(r"pid=(\d+);", self.until("pid="))
        while found is None:
            self.take_in()
            found = re.search(r"pid=(\d+);", self.output)
        return int(found[1])

    def leave(self) -> None:
        """Go as a closed tab does."""
        self.tell(type="bye")
        self.link.close()

    def cut(self) -> None:
        """Go as a broken line does."""
        self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()

    def take_in(self) -> None:
        """Read once; a server that says nothing for long fails the test."""
        piece = self.link.recv(65536)
        self.connection.receive_data(piece or None)
        if not piece:
            self.closed = self.closed or 1006
        for event in self.connection.events():
            self._heed(event)

    def _heed(self, event: Any) -> None:
        if isinstance(event, AcceptConnection):
            self.status = 101
        elif isinstance(event, RejectConnection):
            self.status = event.status_code
        elif isinstance(event, BytesMessage):
            self.output += bytes(event.data).decode("utf-8", "replace")
        elif isinstance(event, TextMessage):
            self.told.append(json.loads(event.data))
        elif isinstance(event, CloseConnection):
            self.closed = int(event.code)

    def _send(self, event: Any) -> None:
        self.link.sendall(self.connection.send(event))


@contextmanager
def serving(*program: str, most: int = 8, absence_s: float = 60.0) -> Iterator[Served]:
    """Serve a program, by default the one that tells what it gets."""
    script = SERVE.format(most=most, absence_s=absence_s)
    process = subprocess.Popen(
        [sys.executable, "-c", script, *(program or SHOWN)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    server = None
    try:
        link = next((line.strip() for line in process.stdout if "http://" in line), "")
        assert link, process.communicate()[1]
        server = Served(process, link)
        yield server
        server.hang_up()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert not said, said
    finally:
        process.kill()
        process.communicate()
        if server:
            server.hang_up()
