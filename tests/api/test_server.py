"""The socket itself: who is let in, for how long, how many, and what is not HTTP."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from flowdapt.api.server import Deadlines
from flowdapt.api.socket import UnixSocket
from flowdapt.domain.errors import AlreadyRunning, StartRefused, UnsafeDirectory
from tests.api.backends import connected, exchange, read_all, running_api

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.backends import Api

LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


async def answers(api: Api) -> bool:
    last = LIVE[:-2] + b"Connection: close\r\n\r\n"
    return (await exchange(api, last)).startswith(b"HTTP/1.1 204")


async def until_closed(link: trio.SocketStream, within_s: float) -> bytes:
    with trio.fail_after(within_s):
        return await read_all(link, silence_s=within_s)


@pytest.mark.trio
async def test_a_connection_serves_many_requests(served: Api) -> None:
    async with await connected(served) as link:
        for _ in range(3):
            await link.send_all(LIVE)
            assert (await link.receive_some()).startswith(b"HTTP/1.1 204")


@pytest.mark.trio
async def test_pipelined_requests_are_answered_in_order(served: Api) -> None:
    both = await exchange(served, LIVE + b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert both.count(b"HTTP/1.1 204") == 2


@pytest.mark.trio
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        (
            b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_with_words(served: Api, request_bytes: bytes) -> None:
    answer = await exchange(served, request_bytes)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431")), answer
    assert b"http.malformed" in answer
    assert await answers(served)


@pytest.mark.trio
async def test_offers_of_other_protocols_are_passed_over(served: Api) -> None:
    upgrade = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
    for offer in (
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        b"Upgrade: websocket\r\n\r\n",
    ):
        assert (await exchange(served, upgrade + offer)).startswith(b"HTTP/1.1 204")
    prior = await exchange(served, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert not prior.startswith(b"HTTP/1.1 2")


@pytest.mark.trio
async def test_a_request_that_does_not_arrive_in_time_is_cut() -> None:
    deadlines = Deadlines(read_s=0.3, idle_s=30)
    starts = (
        b"GET /livez HTT",
        b"POST /api/v1/apply HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
    )
    async with running_api(listen=True, deadlines=deadlines) as api:
        for start in starts:
            async with await connected(api) as link:
                await link.send_all(start)
                for _ in range(2):
                    await trio.sleep(0.1)
                    with suppress(trio.BrokenResourceError):
                        await link.send_all(b" ")
                await until_closed(link, 3)
        assert await answers(api)


@pytest.mark.trio
async def test_an_unused_connection_is_closed_and_an_asked_one_is_not() -> None:
    async with running_api(listen=True, deadlines=Deadlines(idle_s=0.3)) as api:
        await api.apply()
        api.executor.bodies["some.module.stage"] = _slow
        async with await connected(api) as idle, await connected(api) as asked:
            await asked.send_all(
                b"POST /api/v1/workflows/flow/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                b"Prefer: wait=10\r\n\r\n"
            )
            assert await until_closed(idle, 3) == b""
            assert (await asked.receive_some()).startswith(b"HTTP/1.1 200")


async def _slow(*_: object) -> object:
    from flowdapt.domain.task import Finished
    from flowdapt.testing import json_value

    await trio.sleep(1)
    return Finished(json_value(1))


@pytest.mark.trio
async def test_an_answer_leaves_in_one_piece(served: Api) -> None:
    async with await connected(served) as link:
        await link.send_all(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await link.receive_some()).endswith(b"}")


@pytest.mark.trio
async def test_slow_clients_do_not_keep_others_out() -> None:
    async with running_api(listen=True, connections_max=10) as api:
        slow = [await connected(api) for _ in range(30)]
        for link in slow[:10]:
            with suppress(trio.BrokenResourceError):
                await link.send_all(b"G")
        with trio.fail_after(2):
            assert await answers(api)
        for link in slow:
            await link.aclose()


@pytest.mark.trio
async def test_when_all_are_answered_at_once_one_more_is_told_to_come_back() -> None:
    async with running_api(listen=True, connections_max=4) as api:
        await api.apply()
        api.executor.bodies["some.module.stage"] = _slow
        links = [await connected(api) for _ in range(4)]
        run = await api.client.post("/api/v1/workflows/flow/runs")
        path = run.headers["location"]
        for link in links:
            await link.send_all(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nPrefer: wait=5\r\n\r\n".encode()
            )
        await trio.testing.wait_all_tasks_blocked(0.05)
        refused = await exchange(api, b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 503"), refused
        assert b"http.too_many_connections" in refused
        assert await answers(api), "health is told even then"
        for link in links:
            assert (await link.receive_some()).startswith(b"HTTP/1.1 200")
            await link.aclose()


@pytest.mark.trio
async def test_a_body_that_nobody_reads_does_not_hold_the_connection(served: Api) -> None:
    large = (
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
    )
    for _ in range(3):
        answer = await exchange(served, large)
        assert answer.startswith(b"HTTP/1.1 404"), answer
    with trio.fail_after(5):
        while served.server is not None and served.server.connections:
            await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.trio
async def test_stopping_answers_what_was_asked(served: Api) -> None:
    await served.apply()
    served.executor.bodies["some.module.stage"] = _slow
    assert served.server is not None
    async with await connected(served) as asked, await connected(served) as idle:
        await asked.send_all(
            b"POST /api/v1/workflows/flow/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
            b"Prefer: wait=10\r\n\r\n"
        )
        await trio.testing.wait_all_tasks_blocked(0.05)
        served.server.stop()
        assert await until_closed(idle, 3) == b""
        assert (await until_closed(asked, 5)).startswith(b"HTTP/1.1 200")


@pytest.mark.trio
async def test_another_user_is_shown_the_door(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowdapt.api.server.peer_uid", lambda _stream: os.geteuid() + 1)
    assert await exchange(served, LIVE) == b""


def test_the_socket_and_its_directory_are_ours_alone(flowdapt_home: Path) -> None:
    before = os.umask(0)
    try:
        bound = UnixSocket(flowdapt_home / "run" / "s")
    finally:
        os.umask(before)
    assert stat.S_IMODE(bound.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(bound.path.parent.stat().st_mode) == 0o700
    bound.close()
    assert not bound.path.exists()


def test_a_stale_socket_is_replaced(flowdapt_home: Path) -> None:
    path = flowdapt_home / "run" / "s"
    first = UnixSocket(path)
    first.socket.close()
    second = UnixSocket(path)
    second.socket.listen()
    first.close()
    assert path.exists(), "the first may not remove the socket of the second"
    second.close()


def test_a_live_socket_is_left_alone(flowdapt_home: Path) -> None:
    path = flowdapt_home / "run" / "s"
    first = UnixSocket(path)
    first.socket.listen()
    with pytest.raises(AlreadyRunning):
        UnixSocket(path)
    assert path.exists()
    first.close()


def test_what_is_no_socket_is_not_removed(flowdapt_home: Path) -> None:
    path = flowdapt_home / "run" / "s"
    path.parent.mkdir(mode=0o700)
    path.write_text("precious")
    with pytest.raises(UnsafeDirectory):
        UnixSocket(path)
    assert path.read_text() == "precious"


def test_a_path_that_no_socket_can_have_is_refused(flowdapt_home: Path) -> None:
    with pytest.raises(StartRefused, match="107 bytes"):
        UnixSocket(flowdapt_home / ("d" * 110) / "s")


def test_a_directory_that_others_may_enter_is_refused(flowdapt_home: Path) -> None:
    (flowdapt_home / "run").mkdir(mode=0o755)
    with pytest.raises(UnsafeDirectory):
        UnixSocket(flowdapt_home / "run" / "s")
