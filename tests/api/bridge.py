"""A TCP port that leads to a Unix socket, for tools that know no other address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def bridge_to(path: Path) -> Iterator[int]:
    """Yield the port; every connection to it is carried to the socket until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, path), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _accept(listener: socket.socket, path: Path) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(path))
        for ends in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=ends, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    # The last of the two to end closes: both hold both.
    with suppress(OSError):
        source.shutdown(socket.SHUT_RD)
    _close_when_both_ended(source, target)


_ended: set[int] = set()
_lock = threading.Lock()


def _close_when_both_ended(one: socket.socket, other: socket.socket) -> None:
    key = id(one) ^ id(other)
    with _lock:
        if key in _ended:
            _ended.discard(key)
            one.close()
            other.close()
        else:
            _ended.add(key)
