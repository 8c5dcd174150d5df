"""The least a client can do: one empty request over an open connection, to time the server alone."""

from __future__ import annotations

import socket
from pathlib import Path

from flowdapt.client import Client

__all__ = ["RawConnection"]

_REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


class RawConnection:
    """One keep-alive connection to the daemon's socket."""

    def __init__(self, home: Path) -> None:
        with Client() as client:
            path = client.status()["socket"]
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)

    def empty_request(self) -> None:
        """Ask whether the daemon lives and read the whole answer."""
        self._socket.sendall(_REQUEST)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 20"), head
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        while len(body) < length:
            body += self._socket.recv(65536)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
