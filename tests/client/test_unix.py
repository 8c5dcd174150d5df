"""The lean transport: real sockets, every way in which an answer may come or break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flowdapt.client.unix import UnixTransport
from flowdapt.client.wire import ConnectionLost, Request
from flowdapt.domain.errors import FlowdaptError, TimedOut, TooLarge, Unreachable
from tests.client.fake_daemon import FakeDaemon, answer, hang_up, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = Request("GET", "/api/v1/x")
OK = b"HTTP/1.1 200 OK\r\n"


def test_a_body_of_known_length_is_read_to_its_end(fake: FakeDaemon) -> None:
    fake.on("GET", "/x", answer({"a": 1}))
    response = UnixTransport(fake.path).send(GET)
    assert (response.status, response.body) == (200, b'{"a": 1}')
    assert response.headers["content-type"] == "application/json"


def test_a_chunked_body_is_put_together(fake: FakeDaemon) -> None:
    fake.on(
        "GET",
        "/x",
        [
            OK + b"Transfer-Encoding: chunked\r\n\r\n",
            b"3\r\nabc\r\n4;x=y\r\ndefg\r\n",
            b"0\r\nT: 1\r\n\r\n",
        ],
    )
    assert UnixTransport(fake.path).send(GET).body == b"abcdefg"


def test_a_body_without_length_goes_on_to_the_end_of_the_connection(fake: FakeDaemon) -> None:
    fake.on("GET", "/x", [OK + b"\r\n", b"abc"])
    assert UnixTransport(fake.path).send(GET).body == b"abc"


def test_an_interim_answer_is_passed_over(fake: FakeDaemon) -> None:
    fake.on(
        "GET",
        "/x",
        [b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok"],
    )
    assert UnixTransport(fake.path).send(GET).body == b"ok"


def test_an_answer_without_a_body_ends_at_once(fake: FakeDaemon) -> None:
    fake.on("GET", "/x", [b"HTTP/1.1 204 No Content\r\n\r\n"])
    assert UnixTransport(fake.path).send(GET).body == b""


def test_method_headers_and_body_arrive(fake: FakeDaemon) -> None:
    fake.on("POST", "/x", answer({}))
    sent = Request("POST", "/api/v1/x", (("q", "a b"),), (("Idempotency-Key", "k"),), b"{}")
    UnixTransport(fake.path).send(sent)
    (asked,) = fake.asked
    assert (asked.method, asked.query, asked.body) == ("POST", {"q": ["a b"]}, b"{}")
    assert (asked.headers["idempotency-key"], asked.headers["host"]) == ("k", "localhost")


@pytest.mark.parametrize(
    "broken",
    [
        hang_up(),
        [b"HTTP/1.1 200"],
        [OK + b"Content-Length: 10\r\n\r\nabc"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"],
    ],
)
def test_a_connection_that_breaks_is_told_from_one_that_never_was(
    fake: FakeDaemon, broken: list[bytes]
) -> None:
    fake.on("GET", "/x", broken)
    with pytest.raises(ConnectionLost):
        UnixTransport(fake.path).send(GET)


def test_nobody_at_the_socket_is_unreachable(fake: FakeDaemon) -> None:
    with pytest.raises(Unreachable) as caught:
        UnixTransport(fake.path.with_name("other.sock")).send(GET)
    assert not isinstance(caught.value, ConnectionLost)
    assert caught.value.fix == "flowdapt up"


def test_an_answer_that_never_comes_times_out(fake: FakeDaemon) -> None:
    import threading

    over = threading.Event()

    def silent(_: object) -> Iterator[bytes]:
        over.wait(10)
        yield b""

    fake.on("GET", "/x", silent)
    try:
        with pytest.raises(TimedOut):
            UnixTransport(fake.path, timeout_s=0.05).send(GET)
    finally:
        over.set()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ([b"220 smtp ready\r\n"], FlowdaptError),
        ([OK + b"x: " + b"y" * 70_000 + b"\r\n\r\n"], TooLarge),
        ([OK + b"x: y\r\n" * 300 + b"\r\n"], TooLarge),
    ],
)
def test_what_is_no_sane_http_is_refused(
    fake: FakeDaemon, said: list[bytes], error: type[Exception]
) -> None:
    fake.on("GET", "/x", said)
    with pytest.raises(error):
        UnixTransport(fake.path).send(GET)


def test_a_header_cannot_smuggle_another(fake: FakeDaemon) -> None:
    with pytest.raises(FlowdaptError, match="control character"):
        UnixTransport(fake.path).send(Request("GET", "/", headers=(("x", "a\r\ny: b"),)))
    assert fake.asked == []


def test_a_stream_is_read_as_it_comes(fake: FakeDaemon) -> None:
    fake.on("GET", "/x", lambda _: stream(("run", 1), ("run", 2)))
    with UnixTransport(fake.path).stream(GET) as streamed:
        text = b"".join(streamed.chunks)
    assert text.count(b"event: run") == 2
