"""Webhooks against real servers: what is sent, where it may go, and what an answer means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock

from flowdapt import __version__
from flowdapt.domain.errors import NotFound
from flowdapt.domain.outbound import Allowed
from flowdapt.plugins.actions import outgoing
from flowdapt.plugins.actions.outgoing import Sender
from flowdapt.plugins.actions.webhook import Webhook, signature
from flowdapt.plugins.actions.webhook_parameters import WebhookParameters
from flowdapt.ports.action import ActionFailed, Occasion
from tests.docs.pages import blocks
from tests.plugins.actions.receiver import Receiver, raw, receiving, silence, status

if TYPE_CHECKING:
    from flowdapt.domain.outbound import Address

pytestmark = pytest.mark.trio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = {"type": "com.event.workflow.workflow_finished", "data": {"state": "finished"}}
OCCASION = Occasion("nightly", "condition", NOW, None, EVENT, fire=7, delivery="dlv-3-abc")
SECRETS = {"plain": "correct horse battery", "standard": "whsec_" + base64.b64encode(b"k" * 24).decode()}  # fmt: skip
LOOPBACK = Allowed.of(["127.0.0.0/8"])


def secret(name: str) -> str:
    if name not in SECRETS:
        raise NotFound(f"there is no secret {name!r}", fix=f"flowdapt secret set {name}")
    return SECRETS[name]


class Names:
    """A resolver that gives one answer after the other, and counts who asks."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = [[ip_address(one) for one in answer] for answer in answers]
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        await trio.lowlevel.checkpoint()
        self.asked.append(host)
        return self.answers.pop(0)


def webhook(allowed: Allowed = LOOPBACK, **sender: Any) -> Webhook:
    return Webhook(Sender(allowed, **sender), secret=secret, now=NOW.timestamp)


async def perform(action: Webhook, url: str, **parameters: Any) -> None:
    await action.perform(WebhookParameters(url=url, **parameters), OCCASION)


async def failure_of(work: Awaitable[None]) -> ActionFailed:
    with pytest.raises(ActionFailed) as caught:
        await work
    return caught.value


# -- what is sent --------------------------------------------------------------------------------


async def test_the_occasion_is_sent_as_a_cloud_event() -> None:
    async with receiving() as receiver:
        await perform(webhook(), receiver.url(path="/in?x=1"))
    (request,) = receiver.requests
    assert (request.method, request.path) == ("POST", "/in?x=1")
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["user-agent"] == f"flowdapt/{__version__}"
    assert request.headers["webhook-id"] == "dlv-3-abc"
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert "webhook-signature" not in request.headers
    told = json.loads(request.body)
    assert (told["specversion"], told["id"], told["subject"]) == ("1.0", "dlv-3-abc", "trigger/nightly")  # fmt: skip
    assert told["time"] == "2026-03-01T12:00:00+00:00"
    assert told["data"] == {
        "rule": "nightly", "kind": "condition", "fire": 7, "scheduled_at": None, "event": EVENT,
    }  # fmt: skip


@pytest.mark.parametrize("body", [{"text": "fertig é"}, ["a"], "words", 0, None])
async def test_a_body_of_ones_own_is_sent_as_json(body: Any) -> None:
    async with receiving() as receiver:
        headers = {"X-Team": "ml", "Content-Type": "application/vnd.x+json"}
        await perform(webhook(), receiver.url(), method="PUT", body=body, headers=headers)
    (request,) = receiver.requests
    assert (request.method, json.loads(request.body)) == ("PUT", body)
    assert request.headers["x-team"] == "ml"
    assert request.headers["content-type"] == "application/vnd.x+json"


@pytest.mark.parametrize(
    ("name", "key"), [("plain", b"correct horse battery"), ("standard", b"k" * 24)]
)
async def test_the_receiver_can_check_who_sent_it_and_when(name: str, key: bytes) -> None:
    async with receiving() as receiver:
        await perform(webhook(), receiver.url(), body={"a": 1}, secret=name)
    (request,) = receiver.requests
    timestamp = request.headers["webhook-timestamp"]
    signed = b"dlv-3-abc." + timestamp.encode() + b"." + request.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert SECRETS[name] not in f"{request.headers} {request.body!r}"


async def test_the_signature_is_that_of_the_standard() -> None:
    """The numbers are a published example."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("late_s", "genuine"), [(0, True), (3600, False)])
async def test_what_the_documentation_tells_receivers_to_do_works(
    monkeypatch: pytest.MonkeyPatch, late_s: float, genuine: bool
) -> None:
    (block,) = (one for one in blocks("python") if one.page.name == "webhooks.md")
    page: dict[str, Any] = {}
    exec(block.text, page)  # our own documentation
    monkeypatch.setattr(page["time"], "time", lambda: NOW.timestamp() + late_s)
    async with receiving() as receiver:
        await perform(webhook(), receiver.url(), body={"a": 1}, secret="plain")
    (request,) = receiver.requests
    key = SECRETS["plain"].encode()
    assert page["is_genuine"](key, request.headers, request.body) is genuine
    assert not page["is_genuine"](key, request.headers, request.body + b" ")


async def test_a_secret_that_is_not_there_may_come() -> None:
    async with receiving() as receiver:
        failure = await failure_of(perform(webhook(), receiver.url(), secret="other"))
    assert failure.again
    assert "flowdapt secret set other" in failure.message
    assert receiver.connections == 0


async def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiving() as receiver:
        await perform(webhook(), receiver.url())
    assert len(receiver.requests) == 1


# -- what an answer means ------------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, 201, 202, 204])
async def test_any_2xx_is_success(code: int) -> None:
    async with receiving() as receiver:
        receiver.answer = status(code)
        await perform(webhook(), receiver.url())


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
async def test_a_receiver_in_trouble_is_asked_again(code: int) -> None:
    async with receiving() as receiver:
        receiver.answer = status(code, "busy")
        failure = await failure_of(perform(webhook(), receiver.url()))
    assert (failure.again, failure.message) == (True, f"127.0.0.1 answered {code}: busy")


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 413, 422])
async def test_a_refusal_is_final(code: int) -> None:
    async with receiving() as receiver:
        receiver.answer = status(code)
        failure = await failure_of(perform(webhook(), receiver.url()))
    assert (failure.again, failure.message) == (False, f"127.0.0.1 answered {code}")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(code: int) -> None:
    async with receiving() as receiver:
        receiver.answer = status(code, location=receiver.url(path="/again"))
        failure = await failure_of(perform(webhook(), receiver.url()))
    assert not failure.again
    assert "redirects are not followed" in failure.message
    assert [request.path for request in receiver.requests] == ["/"]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("9" * 40, 999_999_999.0),
        ("", 0.0),
    ],
)
async def test_a_receiver_may_say_when_to_come_back(told: str, seconds: float) -> None:
    async with receiving() as receiver:
        receiver.answer = status(429, retry_after=told)
        failure = await failure_of(perform(webhook(), receiver.url()))
    assert (failure.again, failure.after_s) == (True, seconds)


async def test_what_the_receiver_says_is_cut_escaped_and_masked() -> None:
    async with receiving() as receiver:
        text = f"\x1b]0;x\x07 bad key {SECRETS['plain']} " + "z" * 5000
        receiver.answer = status(401, text)
        failure = await failure_of(perform(webhook(), receiver.url(), secret="plain"))
    assert failure.message.startswith("127.0.0.1 answered 401: \\x1b]0;x\\x07 bad key *** zzz")
    assert len(failure.message) < 300


async def test_half_a_secret_at_the_cut_is_not_shown() -> None:
    async with receiving() as receiver:
        room = outgoing._EXCERPT_BYTES
        text = "correct horse battery" * (room // 21 + 1)
        receiver.answer = status(401, text[: room + 10])
        failure = await failure_of(perform(webhook(), receiver.url(), secret="plain"))
    assert set(failure.message.partition(": ")[2]) == {"*"}


# -- where it may go -----------------------------------------------------------------------------

CLOSED = ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:169.254.169.254", "fd00::1", "0.0.0.0", "224.0.0.1"]  # fmt: skip


@pytest.mark.parametrize("address", CLOSED)
async def test_a_name_that_leads_inside_is_refused_for_good(address: str) -> None:
    names = Names([address])
    failure = await failure_of(
        perform(webhook(Allowed(), resolve=names), "http://hooks.example.com/token-in-path")
    )
    assert not failure.again
    assert str(ip_address(address)) in failure.message
    assert "webhooks.allowed" in failure.message
    assert "token-in-path" not in failure.message


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:7f00:1]"])
async def test_an_address_inside_is_refused_without_connecting(host: str) -> None:
    async with receiving() as receiver:
        failure = await failure_of(perform(webhook(Allowed()), receiver.url(host)))
    assert (failure.again, receiver.connections) == (False, 0)


async def test_every_address_of_a_name_is_checked_before_any_is_used() -> None:
    async with receiving() as receiver:
        names = Names(["127.0.0.1", "10.9.8.7"])
        failure = await failure_of(perform(webhook(resolve=names), receiver.url("a.example")))
    assert (failure.again, receiver.connections) == (False, 0)
    assert "10.9.8.7" in failure.message


async def test_a_name_that_flips_is_asked_once_and_the_checked_address_is_used() -> None:
    async with receiving() as receiver:
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        await perform(webhook(resolve=names), receiver.url("hooks.example.com"))
    assert names.asked == ["hooks.example.com"]
    assert receiver.requests[0].headers["host"] == f"hooks.example.com:{receiver.port}"


async def test_a_host_is_allowed_by_its_exact_name() -> None:
    async with receiving() as receiver:
        allowed = Allowed.of(["hooks.lan"])
        await perform(webhook(allowed, resolve=Names(["127.0.0.1"])), receiver.url("HOOKS.lan"))
        other = webhook(allowed, resolve=Names(["127.0.0.1"]))
        failure = await failure_of(perform(other, receiver.url("evil.hooks.lan")))
    assert (failure.again, receiver.connections) == (False, 1)


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with receiving() as receiver:
        names = Names(["127.9.9.9", "127.0.0.1"])
        await perform(webhook(resolve=names), receiver.url("hooks.example.com"))
    assert len(receiver.requests) == 1


async def test_the_system_is_asked_for_a_name() -> None:
    found = await outgoing.resolve_by_system(trio.CapacityLimiter(1), "localhost", 80)
    assert found
    assert all(address.is_loopback for address in found)


# -- receivers that misbehave --------------------------------------------------------------------


async def test_an_endless_answer_is_left_after_64_kib() -> None:
    sent = 0

    async def counted(stream: trio.abc.Stream) -> None:
        nonlocal sent
        await stream.send_all(b"HTTP/1.1 500 X\r\ncontent-length: 10737418240\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65536)
            sent += 65536

    taken = 0
    receive = trio.SocketStream.receive_some

    async def counting(self: trio.SocketStream, most: int | None = None) -> bytes:
        nonlocal taken
        chunk = await receive(self, most)
        taken += len(chunk) if self.socket.getpeername()[1] == receiver.port else 0
        return chunk

    async with receiving() as receiver:
        receiver.answer = counted
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trio.SocketStream, "receive_some", counting)
            failure = await failure_of(perform(webhook(), receiver.url()))
    assert failure.message.startswith("127.0.0.1 answered 500: xxx")
    assert 0 < taken <= outgoing.ANSWER_BYTES
    assert sent < 64 * 1024**2


async def test_an_endless_head_is_no_answer() -> None:
    async def head(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 X\r\n")
        while True:
            await stream.send_all(b"x-a: b\r\n" * 1000)

    async with receiving() as receiver:
        receiver.answer = head
        failure = await failure_of(perform(webhook(), receiver.url()))
    assert (failure.again, failure.message) == (True, "127.0.0.1 does not speak HTTP/1.1")


@pytest.fixture
def quick_clock() -> MockClock:
    """A clock that jumps once nothing more comes over the loopback."""
    return MockClock(autojump_threshold=0.1)


async def drip(stream: trio.abc.Stream) -> None:
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n":
        await stream.send_all(bytes([byte]))
        await trio.sleep(60)


async def first_words(stream: trio.abc.Stream) -> None:
    """Keep the connection busy with what is no answer yet."""
    while True:
        await stream.send_all(b"HTTP/1.1 102 Processing\r\n\r\n")
        await trio.sleep(1)


@pytest.mark.parametrize("answer", [silence, drip, first_words])
async def test_a_receiver_has_ten_seconds(
    quick_clock: MockClock, answer: Callable[[trio.abc.Stream], Awaitable[None]]
) -> None:
    async with receiving() as receiver:
        receiver.answer = answer
        began = trio.current_time()
        failure = await failure_of(perform(webhook(), receiver.url()))
        took = trio.current_time() - began
    assert (failure.again, failure.message) == (True, "127.0.0.1 did not answer within 10 s")
    assert 10 <= took < 11


async def test_a_resolver_that_hangs_takes_ten_seconds(autojump_clock: MockClock) -> None:
    async def hang(host: str, port: int) -> Sequence[Address]:
        await trio.sleep_forever()
        raise AssertionError

    failure = await failure_of(perform(webhook(resolve=hang), "http://hooks.example.com"))
    assert failure.again
    assert trio.current_time() <= 10.1


async def test_a_status_that_came_counts_although_its_body_never_ends(
    quick_clock: MockClock,
) -> None:
    async def started(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await trio.sleep_forever()

    async with receiving() as receiver:
        receiver.answer = started
        began = trio.current_time()
        await perform(webhook(), receiver.url())
        assert trio.current_time() - began < 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "does not speak"),
        (b"hello\r\n\r\n", "does not speak"),
        (b"HTTP/1.1 9999 X\r\n\r\n", "does not speak"),
        (b"\x80\x04\x95 pickle", "does not speak"),
    ],
)
async def test_what_is_no_http_is_no_answer(answer: bytes, words: str) -> None:
    async with receiving() as receiver:
        receiver.answer = raw(answer)
        failure = await failure_of(perform(webhook(), receiver.url()))
    assert failure.again
    assert words in failure.message


async def test_nobody_at_the_port_may_come_back() -> None:
    async with receiving() as receiver:
        port = receiver.port
    failure = await failure_of(perform(webhook(), f"http://127.0.0.1:{port}/"))
    assert failure.again
    assert "cannot be reached" in failure.message


async def test_a_name_that_is_not_known_may_come() -> None:
    async def unknown(host: str, port: int) -> Sequence[Address]:
        raise OSError(-2, "Name or service not known")

    failure = await failure_of(perform(webhook(resolve=unknown), "http://hooks.example.com/x"))
    assert failure.again
    assert failure.message == "hooks.example.com cannot be found: Name or service not known"


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of a server for hooks.example.com, and of a client that trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example.com")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("hooks.example.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cadata=made.public_bytes(pem).decode())
    return server, client


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def https(server: ssl.SSLContext) -> Callable[[trio.SocketStream], trio.abc.Stream]:
    return lambda stream: trio.SSLStream(stream, server, server_side=True, https_compatible=True)


def over_tls(receiver: Receiver, host: str) -> str:
    return receiver.url(host).replace("http://", "https://")


async def test_https_is_spoken_to_the_name_at_the_checked_address(certificate: Contexts) -> None:
    server, client = certificate
    async with receiving(https(server)) as receiver:
        action = webhook(resolve=Names(["127.0.0.1"]), tls=lambda: client)
        await perform(action, over_tls(receiver, "hooks.example.com"))
    assert receiver.requests[0].headers["host"].startswith("hooks.example.com:")


@pytest.mark.parametrize(("host", "trusting"), [("hooks.example.com", False), ("other.example.com", True)])  # fmt: skip
async def test_a_certificate_that_does_not_hold_stops_the_request(
    certificate: Contexts, host: str, trusting: bool
) -> None:
    server, client = certificate
    async with receiving(https(server)) as receiver:
        tls = (lambda: client) if trusting else ssl.create_default_context
        action = webhook(resolve=Names(["127.0.0.1"]), tls=tls)
        failure = await failure_of(perform(action, over_tls(receiver, host), secret="plain"))
    assert failure.again
    assert "certificate" in failure.message
    assert receiver.requests == []


async def test_a_server_without_tls_is_no_https_server() -> None:
    async with receiving() as receiver:
        failure = await failure_of(
            perform(webhook(resolve=Names(["127.0.0.1"])), over_tls(receiver, "a.example"))
        )
    assert failure.again
    assert receiver.requests == []
