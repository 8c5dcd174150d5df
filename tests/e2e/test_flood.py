"""Many clients at once: the daemon stays answerable and small, whoever floods or reads nothing."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import suppress

import psutil
import pytest
import trio

from flowdapt.domain.errors import FlowdaptError
from tests.e2e.daemons import Daemon
from tests.waiting import eventually

REQUEST = b"GET /api/v1/runs?limit=50 HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
MIB = 1024**2


def crowd(address: str, clients: int, readers: int, seconds: float) -> None:
    """Be the clients, in a process of their own: they must not slow the measuring down."""

    async def all_of_them() -> None:
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for _ in range(readers):
                    nursery.start_soon(_read_nothing, address)
                for _ in range(clients):
                    nursery.start_soon(_ask_again_and_again, address)

    trio.run(all_of_them)


async def _ask_again_and_again(address: str) -> None:
    while True:
        with suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_unix_socket(address) as link:
                for _ in range(20):
                    await link.send_all(REQUEST)
                    if not await link.receive_some(MIB):
                        break
        await trio.sleep(0.01)


async def _read_nothing(address: str) -> None:
    async with await trio.open_unix_socket(address) as link:
        await link.send_all(STREAM)
        await trio.sleep_forever()


def looks(daemon: Daemon, seconds: float) -> list[float]:
    """Return how long each look at /livez took, in order of length."""
    waits = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.perf_counter()
        while not _alive(daemon):
            time.sleep(0.01)
        waits.append(time.perf_counter() - began)
        time.sleep(0.02)
    return sorted(waits)


def _alive(daemon: Daemon) -> bool:
    try:
        return daemon.ask("GET", "/livez").ok
    except FlowdaptError:
        return False


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
    process_of_clients = multiprocessing.get_context("spawn").Process(
        target=crowd, args=(str(daemon.socket), clients, readers, seconds)
    )
    process_of_clients.start()
    waits = looks(daemon, seconds)
    process_of_clients.join(60)
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
