"""Many clients at once: the daemon stays answerable and small, whoever floods or reads nothing."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil
import pytest
import trio

from tests.e2e.daemons import Daemon
from tests.waiting import eventually

REQUEST = b"GET /api/v1/runs?limit=50 HTTP/1.1\r\nHost: x\r\n\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
MIB = 1024**2


async def flood(daemon: Daemon, clients: int, readers: int, seconds: float) -> list[float]:
    """Return how long each look at /livez took while clients ask and readers read nothing."""
    waits: list[float] = []
    async with trio.open_nursery() as nursery:
        for _ in range(readers):
            nursery.start_soon(_read_nothing, daemon)
        for _ in range(clients):
            nursery.start_soon(_ask_again_and_again, daemon)
        ends = trio.current_time() + seconds
        while trio.current_time() < ends:
            began = time.perf_counter()
            await _look(daemon)
            waits.append(time.perf_counter() - began)
            await trio.sleep(0.02)
        nursery.cancel_scope.cancel()
    return sorted(waits)


async def _look(daemon: Daemon) -> None:
    """Look until it is answered: a refusal for want of room means try again."""
    while True:
        with suppress(trio.BrokenResourceError):
            async with await trio.open_unix_socket(daemon.socket) as link:
                await link.send_all(LIVE)
                if (await link.receive_some()).startswith(b"HTTP/1.1 204"):
                    return
        await trio.sleep(0.01)


async def _ask_again_and_again(daemon: Daemon) -> None:
    while True:
        with suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_unix_socket(daemon.socket) as link:
                for _ in range(20):
                    await link.send_all(REQUEST)
                    if not await link.receive_some(MIB):
                        break
        await trio.sleep(0.01)


async def _read_nothing(daemon: Daemon) -> None:
    async with await trio.open_unix_socket(daemon.socket) as link:
        await link.send_all(STREAM)
        await trio.sleep_forever()


def flooded(daemon: Daemon, clients: int, readers: int, seconds: float) -> tuple[float, float]:
    """Return the p99 of /livez in seconds and the growth of the daemon in MiB."""
    daemon.start()
    daemon.define("fails", "def stage():\n    raise ValueError('x' * 1000)")
    for _ in range(100):
        daemon.run("fails", wait_s=0)
    process = psutil.Process(daemon.pid)
    # The framework is loaded in the background after the start.
    daemon.json("GET", "/api/v1/status")
    before = process.memory_info().rss
    waits = trio.run(flood, daemon, clients, readers, seconds)
    grown = (process.memory_info().rss - before) / MIB
    eventually(lambda: daemon.ask("GET", "/api/v1/status").ok, what="it has calmed down")
    return waits[int(len(waits) * 0.99)], grown


@pytest.mark.slow
def test_a_flood_of_clients_leaves_the_daemon_answerable(daemon: Daemon) -> None:
    p99, grown = flooded(daemon, clients=40, readers=20, seconds=4.0)
    assert p99 < 2.0
    assert grown < 64


@pytest.mark.faults
def test_two_hundred_clients_and_fifty_who_read_nothing(daemon: Daemon) -> None:
    p99, grown = flooded(daemon, clients=200, readers=50, seconds=60.0)
    assert p99 < 0.5
    assert grown < 64
