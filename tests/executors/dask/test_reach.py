"""Where nothing listens it is said at once; where somebody might, there is all the time that was given."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from distributed.comm import connect

from flowdapt.plugins.executors.dask.reach import reached
from tests.clusters.ports import free_port, silent_server


async def try_dask(url: str, timeout_s: float) -> None:
    comm = await connect(url, timeout=timeout_s)
    comm.abort()


def seconds_until_raised(kind: type[Exception], url: str, timeout_s: float) -> float:
    began = time.monotonic()
    with pytest.raises(kind):
        asyncio.run(reached(try_dask(url, timeout_s), url, timeout_s))
    return time.monotonic() - began


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_refuses_for_a_second_is_told_then(host: str) -> None:
    url = f"tcp://{host}:{free_port()}"
    assert 0.9 < seconds_until_raised(ConnectionRefusedError, url, 30) < 5


def test_who_takes_the_connection_and_says_nothing_gets_all_the_time() -> None:
    with silent_server() as place:
        assert seconds_until_raised(TimeoutError, f"tcp://{place}", 1.5) >= 1.5


def test_an_unknown_host_is_told_in_the_words_of_dask() -> None:
    assert seconds_until_raised(OSError, "tcp://nobody.invalid:8786", 1.5) >= 1.0


def test_who_begins_to_listen_within_the_second_is_waited_for() -> None:
    port = free_port()

    async def connect_late() -> None:
        await asyncio.sleep(0.5)
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
            server.listen()
            await asyncio.sleep(1.5)  # all knocks would be over

    asyncio.run(reached(connect_late(), f"tcp://127.0.0.1:{port}", 30))
