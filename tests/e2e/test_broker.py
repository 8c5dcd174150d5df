"""A daemon with an outside broker: what leaves, what comes in, what a dead server or a dead daemon costs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.run import RunState
from tests.brokers import BrokerServer, NatsServer, RedisServer, running_server
from tests.waiting import eventually
from tests.workstation import COMMAND, Workstation, stage, workflow, workstation

HELLO = """
    def hello():
        return 7
"""
FINISHED = "com.event.workflow.workflow_finished"


@pytest.fixture(scope="module", params=[NatsServer, RedisServer], ids=["nats", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[BrokerServer]:
    with running_server(request.param) as server:
        yield server


@pytest.fixture
def station(server: BrokerServer, request: pytest.FixtureRequest) -> Iterator[Workstation]:
    prefix = f"p{abs(hash(request.node.name))}"[:20]
    broker = {"FLOWDAPT_BROKER__URL": server.url, "FLOWDAPT_BROKER__PREFIX": prefix}
    with workstation(**broker) as station:
        station.module("tasks", HELLO)
        yield station


def prefix_of(station: Workstation) -> str:
    return station.environment["FLOWDAPT_BROKER__PREFIX"]


def stream(server: BrokerServer, station: Workstation, name: str = "events") -> list[Any]:
    payloads = trio.run(server.read, prefix_of(station), name)
    return [json.loads(payload) for payload in payloads]


def journal(station: Workstation, kind: str) -> list[str]:
    with station.database() as database:
        rows = database.execute("SELECT id FROM event WHERE type = ? ORDER BY cursor", (kind,))
        found = [row[0] for row in rows]
    database.close()
    return found


def sent(ident: str) -> bytes:
    event = {"specversion": "1.0", "id": ident, "source": "elsewhere", "type": "com.example.sent"}
    return json.dumps(event | {"data": {"n": 1}}).encode()


def test_events_leave_and_come_in(server: BrokerServer, station: Workstation) -> None:
    station.start()
    with station.client() as client:
        client.apply([workflow("w", stage("a", "user_modules.tasks.hello"))])
        run = client.run("w", wait=True)
        assert run.state is RunState.FINISHED
        assert "does not answer" not in str(client.status()["warnings"])
    (told,) = eventually(lambda: [e for e in stream(server, station) if e["type"] == FINISHED])
    assert (told["run"], told["data"]["result"]) == (run.uid, 7)
    assert [told["id"]] == journal(station, FINISHED)
    trio.run(server.send, prefix_of(station), sent("one"), b"\x80\x04junk", sent("one"))
    eventually(partial(journal, station, "com.example.sent"))
    # What came in is told to all others as well, and is one event however often it was sent.
    eventually(lambda: [e for e in stream(server, station) if e["id"] == "one"])
    assert journal(station, "com.example.sent") == ["one"]
    assert trio.run(server.read, prefix_of(station), "dead") == [b"\x80\x04junk"]
    assert station.end() == 0


def test_a_relay_killed_after_it_has_sent_sends_again_what_is_known_by_its_id(
    server: BrokerServer, station: Workstation
) -> None:
    process = station.spawn(FLOWDAPT_FAILPOINT="relay.after_send:kill")
    eventually(lambda: _applied(station) or process.poll() is not None, timeout_s=30)
    assert process.wait(30) == -signal.SIGKILL
    before = [event["id"] for event in stream(server, station)]
    assert before != []
    station.start()
    with station.client() as client:
        client.apply([workflow("w", stage("a", "user_modules.tasks.hello"))])
        client.run("w", wait=True)
    eventually(lambda: FINISHED in [event["type"] for event in stream(server, station)])
    after = [event["id"] for event in stream(server, station)]
    assert set(before) <= set(after)
    # Nothing between the two lives is missing, and each id is one event of the journal.
    with station.database() as database:
        known = [row[0] for row in database.execute("SELECT id FROM event ORDER BY cursor")]
    database.close()
    distinct = list(dict.fromkeys(after))
    begin = known.index(distinct[0])
    assert distinct == known[begin : begin + len(distinct)]
    station.doctor()


def _applied(station: Workstation) -> bool:
    """Apply what makes an event; whether its answer still arrives is chance."""
    with suppress(FlowdaptError), Client(transport=UnixTransport(station.socket_path)) as client:
        client.apply([workflow("w", stage("a", "user_modules.tasks.hello"))])
        return True
    return False


def test_a_daemon_killed_before_it_acknowledges_takes_an_event_once(
    server: BrokerServer, station: Workstation
) -> None:
    process = station.start(FLOWDAPT_FAILPOINT="relay.after_take:kill")
    # A daemon has made the stream when it waits for events.
    with station.client() as client:
        client.status()
    eventually(lambda: _sent(server, station, process))
    assert process.wait(30) == -signal.SIGKILL
    assert journal(station, "com.example.sent") == ["one"]
    station.start()
    trio.run(server.send, prefix_of(station), sent("one"), sent("two"))
    eventually(lambda: "two" in journal(station, "com.example.sent"), timeout_s=60)
    assert journal(station, "com.example.sent") == ["one", "two"]


def _sent(server: BrokerServer, station: Workstation, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is None:
        trio.run(server.send, prefix_of(station), sent("one"))
    return process.poll() is not None


def test_a_broker_killed_and_wiped_meanwhile_loses_no_run(
    server: BrokerServer, station: Workstation
) -> None:
    station.start()
    with station.client() as client:
        client.apply([workflow("w", stage("a", "user_modules.tasks.hello"))])
        first = client.run("w").uid
        server.kill()
        began = time.monotonic()
        second = client.run("w", wait=True)
        assert second.state is RunState.FINISHED
        assert time.monotonic() - began < 5
        eventually(lambda: any("broker" in word for word in client.status()["warnings"]))
        server.wipe()
        eventually(lambda: not client.status()["warnings"], timeout_s=20)
        third = client.run("w", wait=True)
        assert client.runs.get(first).state is RunState.FINISHED
    uids = {second.uid, third.uid}
    eventually(
        lambda: uids <= {e.get("run") for e in stream(server, station) if e["type"] == FINISHED},
        timeout_s=20,
    )


def test_a_broker_that_never_answers_costs_a_run_nothing() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{nobody.getsockname()[1]}"
        with workstation(FLOWDAPT_BROKER__URL=url) as station:
            station.module("tasks", HELLO)
            station.start()
            with station.client() as client:
                client.apply([workflow("w", stage("a", "user_modules.tasks.hello"))])
                began = time.monotonic()
                assert client.run("w", wait=True).state is RunState.FINISHED
                assert time.monotonic() - began < 5
                (warning,) = eventually(lambda: client.status()["warnings"])
                assert "the broker does not answer since" in warning
            assert station.end() == 0


def test_a_token_of_the_broker_is_not_shown() -> None:
    with workstation(FLOWDAPT_BROKER__URL="nats://geheim@127.0.0.1:9") as station:
        station.start()
        with station.client() as client:
            eventually(lambda: client.status()["warnings"])
            assert "geheim" not in str(client.status())
            assert client.status()["broker"] == "nats://***@127.0.0.1:9"
        assert "geheim" not in station.output()


@pytest.mark.slow
def test_daemons_on_one_database_wake_each_other(server: BrokerServer, postgres_url: str) -> None:
    shared = {
        "FLOWDAPT_DATABASE__URL": postgres_url,
        "FLOWDAPT_BROKER__URL": server.url,
        "FLOWDAPT_BROKER__PREFIX": "pair",
    }
    with (
        workstation(**shared) as works,
        workstation(**shared, FLOWDAPT_SERVICES__COMPUTE="false") as asks,
    ):
        works.module("tasks", HELLO)
        works.start()
        asks.start()
        took = []
        with asks.client() as client:
            client.apply([workflow("w", stage("a", "user_modules.tasks.hello"))])
            for _ in range(5):
                began = time.monotonic()
                assert client.run("w", wait=True).state is RunState.FINISHED
                took.append(time.monotonic() - began)
        # A poll alone would take two and a half seconds on the average.
        assert sorted(took)[2] < 1.5, took


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nats://broker.example.com", "without TLS (tls:// or rediss://) and a login"),
        ("redis://:word@10.1.2.3", "without TLS (tls:// or rediss://)"),
        ("tls://broker.example.com,127.0.0.1", "without a login"),
        ("kafka://127.0.0.1", "there is no broker of kind 'kafka'"),
        ("127.0.0.1:4222", "broker.url cannot be used"),
    ],
)
def test_a_broker_url_that_cannot_be_used_refuses_the_start(url: str, words: str) -> None:
    with workstation(FLOWDAPT_BROKER__URL=url) as station:
        done = subprocess.run(
            [*COMMAND, "up", "--foreground"], env={**os.environ, **station.environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, words in done.stderr) == (78, True), done.stderr
