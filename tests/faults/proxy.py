"""A proxy between clients and a daemon's socket that loses replies: what was asked was done, and nobody is told."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Proxy", "lossy_proxy"]

CHUNK = 64 * 1024


class Proxy:
    """Carries bytes both ways, and drops some of the answers."""

    def __init__(self, path: Path, daemon: str, *, loses: float, seed: int) -> None:
        self.path = str(path)
        self.lost = 0
        self._daemon, self._loses = daemon, loses
        self._chance = random.Random(seed)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._daemon)
            asking = threading.Thread(target=self._carry, args=(client, server), daemon=True)
            asking.start()
            with suppress(OSError):
                self._answer(server, client)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            asking.join()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(CHUNK):
            if self._chance.random() < self._loses:
                self.lost += 1
                return
            client.sendall(data)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                target.sendall(data)


@contextmanager
def lossy_proxy(path: Path, daemon: str, *, loses: float, seed: int) -> Iterator[Proxy]:
    proxy = Proxy(path, daemon, loses=loses, seed=seed)
    try:
        yield proxy
    finally:
        proxy.close()
