"""A client that hates the daemon: malformed, slow, half gone or greedy. Others never notice.

Rows 5, 15 and 16 of the list of bad inputs, and what is next to them on the wire.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from statistics import median

import psutil
import pytest

from tests.hostile import alive, ask, exchange, refused, request, stored, taken
from tests.waiting import eventually
from tests.workstation import Workstation, stage, workflow, workstation

LIVE = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
RUNS = "/api/v1/workflows/flow/runs"
# The daemon may open a reader of the database or two meanwhile; twenty connections are more.
FEW = 5


@pytest.fixture(scope="module")
def station() -> Iterator[Workstation]:
    with workstation() as one:
        one.module("work", "def stage():\n    return 1")
        one.start()
        document = workflow("flow", stage("only", "user_modules.work.stage"))
        taken(one, request("POST", "/api/v1/apply", json.dumps([document])))
        taken(one, request("GET", "/api/v1/status"))
        yield one
        one.doctor()


def connected(station: Workstation) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(20)
    eventually(lambda: not link.connect_ex(station.socket_path), what="there is room in the queue")
    return link


def until_closed(link: socket.socket) -> bytes:
    got = b""
    with suppress(ConnectionResetError):
        while piece := link.recv(65536):
            got += piece
    return got


def head(first: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([first, b"host: x", b"connection: close", *lines, b"", b""])


GET = b"GET /livez HTTP/1.1"
HEADS = {
    "no HTTP at all": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /livez\r\nhost: x\r\n\r\n",
    "another version": head(b"GET /livez HTTP/3.7"),
    "a path of 1 MB": head(b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1"),
    "a path of 8 KB": head(b"GET /" + b"a" * 8_000 + b" HTTP/1.1"),
    "a query of 8 KB": head(b"GET /api/v1/runs?" + b"a=a&" * 2_000 + b" HTTP/1.1"),
    "a method of 10 KB": head(b"X" * 10_000 + b" /livez HTTP/1.1"),
    "a method that is none": head(b"G\xc3\x84T /livez HTTP/1.1"),
    "an unknown method": head(b"BREW /api/v1/status HTTP/1.1"),
    "trace": head(b"TRACE /api/v1/status HTTP/1.1"),
    "connect": head(b"CONNECT example.com:443 HTTP/1.1"),
    "a star as path": head(b"OPTIONS * HTTP/1.1"),
    "an address as path": head(b"GET http://169.254.169.254/latest HTTP/1.1"),
    "spaces in the path": head(b"GET /live z HTTP/1.1"),
    "NUL in the path": head(b"GET /livez\0 HTTP/1.1"),
    "bytes in the path": head(b"GET /\xff\xfe HTTP/1.1"),
    "an escape sequence in the path": head(b"GET /\x1b[2J HTTP/1.1"),
    "no host": b"GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n",
    "two hosts": head(GET, b"host: y"),
    "a header of 17 KB": head(GET, b"x: " + b"a" * 17_000),
    "a header of 1 MB": head(GET, b"x: " + b"a" * 1_000_000),
    "4,000 headers": head(GET, *[b"x%d: y" % n for n in range(4_000)]),
    "a header without a colon": head(GET, b"nonsense"),
    "a header without a name": head(GET, b": x"),
    "a space before the colon": head(GET, b"content-length : 5"),
    "a folded header": head(GET, b"x: a", b" b: c", b"y z"),
    "NUL in a header": head(GET, b"x: a\0b"),
    "a line end in a header": head(GET, b"x: a\rb"),
    "a control in a header's name": head(GET, b"x\x01y: z"),
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_is_no_request_is_refused(station: Workstation, case: str) -> None:
    refused(station, HEADS[case], (400, 404, 405, 414, 422, 431, 505))


def test_row_05_a_preflight_of_a_web_page_gets_no_permission(station: Workstation) -> None:
    for path in (RUNS, "/api/v1/apply", "/api/v1/runs"):
        sent = request(
            "OPTIONS", path, origin="https://evil.example", access_control_request_method="POST"
        )
        answer = refused(station, sent, (403, 405))
        assert not [name for name in answer.headers if name.startswith("access-control")]


EXCHANGES = {
    "an unanswered expectation": (b"expect: 100-continue", b"content-length: 10737418240"),
    "a length and no body's type": (b"content-length: 2",),
    "a chunk's extension of 200 KB": (
        b"content-type: application/json",
        b"transfer-encoding: chunked",
    ),
}
BODIES = {
    "a chunk's extension of 200 KB": b"2;" + b"a" * 200_000 + b"\r\n{}\r\n0\r\n\r\n",
    "a length and no body's type": b"{}",
}


@pytest.mark.parametrize("case", EXCHANGES)
def test_a_body_that_is_announced_wrongly_is_refused(station: Workstation, case: str) -> None:
    sent = head(f"POST {RUNS} HTTP/1.1".encode(), *EXCHANGES[case]) + BODIES.get(case, b"")
    refused(station, sent, (400, 413, 415, 431))


@pytest.mark.parametrize(
    "value", ["wait=-1", "wait=1e9", "wait=" + "9" * 400, "wait=NaN", "wait", "=", "\xff" * 40]
)
def test_a_wish_that_makes_no_sense_is_passed_over(station: Workstation, value: str) -> None:
    answer = taken(station, request("GET", "/api/v1/runs/" + run_of(station), prefer=value))
    assert answer.taken_s < 10


def run_of(station: Workstation) -> str:
    found = json.loads(ask(station.socket_path, request("GET", "/api/v1/runs")).body)["items"]
    if found:
        return str(found[0]["uid"])
    made = taken(station, request("POST", RUNS, "{}", prefer="wait=30"))
    return str(json.loads(made.body)["uid"])


@pytest.mark.parametrize(
    "ident", ["-1", "99999999999999999999999", "a:b", "\xff", "1.5", "x" * 5_000]
)
def test_an_event_id_that_was_never_given_is_told_as_such(station: Workstation, ident: str) -> None:
    """A stream begins with a gap or is refused; it never breaks."""
    sent = request("GET", "/api/v1/events", accept="text/event-stream", last_event_id=ident)
    with connected(station) as link:
        link.sendall(sent)
        first = link.recv(65536)
    assert first.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.1 422")), first[:300]
    alive(station)


def test_junk_after_a_request_costs_the_connection_alone(station: Workstation) -> None:
    for junk in (b"\0" * 100, b"GET / HTTP/1.1 \r\n\r\n\r\n", b"}" * 70_000, b"\x16\x03\x01" * 50):
        got = exchange(station.socket_path, LIVE + LIVE + junk)
        assert got.count(b"HTTP/1.1 204") == 2, got[:500]
        assert b"HTTP/1.1 5" not in got
        alive(station)


def test_a_request_hidden_in_another_is_not_answered(station: Workstation) -> None:
    """What one reader takes for a body must not be a request for the next one."""
    hidden = b"DELETE /api/v1/workflows/flow HTTP/1.1\r\nhost: x\r\n\r\n"
    heads = (
        (b"content-length: 4", b"transfer-encoding: chunked"),
        (b"content-length: 4", b"content-length: %d" % len(hidden)),
        (b"transfer-encoding: \x0bchunked", b"content-length: 4"),
        (b"transfer-encoding : chunked", b"content-length: 4"),
        (b"transfer-encoding: xchunked",),
    )
    for lines in heads:
        first = b"POST /api/v1/apply HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        got = exchange(
            station.socket_path, first + b"\r\n".join(lines) + b"\r\n\r\n0\r\n\r\n" + hidden
        )
        assert len(re.findall(rb"HTTP/1.1 \d", got)) == 1, got
        assert b"HTTP/1.1 200" not in got
    taken(station, request("GET", "/api/v1/workflows/flow"))


def test_who_has_said_all_is_still_answered(station: Workstation) -> None:
    """Half closed: nothing more will be sent, everything may still be read."""
    for sent, status in (
        (LIVE, b"204"),
        (request("GET", "/api/v1/openapi.json"), b"200"),
        (request("POST", RUNS, "{}", prefer="wait=30"), b"200"),
    ):
        with connected(station) as link:
            link.sendall(sent)
            link.shutdown(socket.SHUT_WR)
            got = until_closed(link)
        assert got.startswith(b"HTTP/1.1 " + status), got[:300]
        assert status == b"204" or got.rstrip().endswith(b"}")


def test_who_leaves_a_stream_is_noticed_at_once(station: Workstation) -> None:
    leave_a_stream(station)  # the first opens what all of them need
    before = descriptors(station)
    for _ in range(20):
        leave_a_stream(station)
    eventually(
        lambda: descriptors(station) < before + FEW, timeout_s=5, what="every stream has ended"
    )


def leave_a_stream(station: Workstation) -> None:
    sent = b"GET /api/v1/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n"
    with connected(station) as link:
        link.sendall(sent)
        assert link.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /livez HT", b"POST /api/v1/apply HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[]",
     b"PUT /api/v1/artifacts/default/a/b HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nhalf",
     b"PUT /api/v1/artifacts/default/a/b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal"],
)  # fmt: skip
@pytest.mark.parametrize("manner", ["half closed", "closed", "reset"])
def test_who_goes_in_the_middle_leaves_nothing(
    station: Workstation, sent: bytes, manner: str
) -> None:
    before, open_before = stored(station), descriptors(station)
    for _ in range(20):
        with connected(station) as link:
            link.sendall(sent)
            if manner == "half closed":
                link.shutdown(socket.SHUT_WR)
                assert b"HTTP/1.1 2" not in until_closed(link)
            elif manner == "reset":
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: descriptors(station) < open_before + FEW, what="every connection is closed")
    # Less is fine: what the test before this one began may have been cleared away meanwhile.
    eventually(
        lambda: all(stored(station)[name] <= count for name, count in before.items()),
        what="nothing is left",
    )
    alive(station)


def descriptors(station: Workstation) -> int:
    assert station.process is not None
    return int(psutil.Process(station.process.pid).num_fds())


def test_who_asks_and_never_reads_holds_up_nobody(station: Workstation) -> None:
    assert station.process is not None
    memory = psutil.Process(station.process.pid).memory_info
    before = memory().rss
    with ExitStack() as links:
        for _ in range(30):
            link = links.enter_context(connected(station))
            link.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    link.send(b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
        assert median(alive(station).taken_s for _ in range(9)) < 0.5
        assert memory().rss - before < 64 * 1024**2
    alive(station)


def test_many_who_come_and_go_leave_no_descriptor(station: Workstation) -> None:
    before = descriptors(station)
    for _ in range(500):
        with connected(station):
            pass
    with ExitStack() as links:
        for _ in range(90):
            links.enter_context(connected(station)).sendall(b"G")
    eventually(lambda: descriptors(station) < before + FEW, what="every connection is closed")
    alive(station)


@pytest.mark.slow
def test_row_15_two_hundred_who_drip_are_cut_and_others_are_answered(station: Workstation) -> None:
    """A byte now and then is no request: each is let go 10 s after its first byte, or for room before."""
    start = b"POST /api/v1/apply HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    with ExitStack() as stack:
        links = [stack.enter_context(connected(station)) for _ in range(200)]
        began, looks = time.monotonic(), []
        left = dict.fromkeys(links, 0)
        while left and time.monotonic() - began < 20:
            for link, sent in list(left.items()):
                if not drip(
                    link, (LAST[:20] if links.index(link) % 2 else start)[sent : sent + 1] or b" "
                ):
                    del left[link]
                else:
                    left[link] = sent + 1
            looks.append(until_answered(station))
            select.select([], [], [], 0.5)
        taken_s = time.monotonic() - began
    assert not left, f"{len(left)} are still connected"
    assert 9 < taken_s < 15
    assert sorted(looks)[-2] < 0.5, looks


def until_answered(station: Workstation) -> float:
    """Return how long it takes to be told that the daemon lives, asking again when it has no room."""
    began = time.perf_counter()
    eventually(lambda: exchange(station.socket_path, LAST).startswith(b"HTTP/1.1 204"))
    return time.perf_counter() - began


def drip(link: socket.socket, piece: bytes) -> bool:
    """Send a byte; say whether the connection is still there."""
    try:
        link.sendall(piece)
        readable, _, _ = select.select([link], [], [], 0)
        return not (readable and not link.recv(65536))
    except OSError:
        return False
