"""A disk that turns read-only or fails under a running daemon: told, survived, and given up in the end."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from flowdapt.domain.errors import FlowdaptError, Unavailable
from tests.faults.disk import Disk, build_disk
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

pytestmark = pytest.mark.faults

STAGES = """
import time


def short(*values):
    return [sum(map(len, values))] * 500


def longer(*values):
    time.sleep(0.3)
    return 1


def large(*values):
    return ["x" * 1000] * 2000
"""
MODULE = "user_modules.sick"
GIVEN_UP = 74


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_disk(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation() as made:
        made.module("sick", STAGES)
        yield made


@pytest.fixture
def disk(library: Path, station: Workstation, tmp_path: Path) -> Disk:
    return Disk(library, station.home, tmp_path / "orders")


def patient(station: Workstation) -> Client:
    """Return a client that asks once: what the daemon answers is looked at."""
    return Client(transport=UnixTransport(station.socket_path))


def ended(client: Client, uid: str) -> Run:
    run = eventually(
        lambda: (found := client.runs.get(uid)).state.terminal and found, timeout_s=60, every_s=0.1
    )
    assert run
    return run


def test_a_file_system_that_turns_read_only_is_waited_for_and_read_meanwhile(
    station: Workstation, disk: Disk
) -> None:
    process = station.start(**disk.environment)
    chain = [stage("s0", f"{MODULE}.longer")]
    chain += [stage(f"s{n}", f"{MODULE}.longer", f"s{n - 1}") for n in range(1, 6)]
    with patient(station) as client:
        client.apply([workflow("chain", *chain), workflow("one", stage("a", f"{MODULE}.short"))])
        done = client.run("one", wait=True)
        under_way = client.run("chain").uid
        eventually(lambda: client.runs.get(under_way).stages[1].state == "running")
        # The first time for longer than two rounds of whatever is tried again.
        for seconds in (12, 1, 1, 1):
            disk.become_read_only()
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                with pytest.raises(Unavailable) as refused:
                    client.run("one")
                assert refused.value.exact_code == "unavailable"
                assert client.runs.get(done.uid).result == done.result
                assert under_way in {run.uid for run in client.runs.list().items}
                assert process.poll() is None, station.output()
                time.sleep(0.1)
            assert not client.runs.get(under_way).state.terminal
            disk.heal()
            eventually(lambda: _accepted(client, "one"), timeout_s=10, every_s=0.2)
        assert ended(client, under_way).state == "finished"
        assert client.status()["pid"] == process.pid
    assert station.end() == 0
    station.doctor()


def _accepted(client: Client, name: str) -> bool:
    try:
        return bool(client.run(name, wait=True).state == "finished")
    except Unavailable:
        return False


def work(station: Workstation, seconds: float) -> list[str]:
    """Keep the daemon writing and reading until it is gone or time is over; return what it accepted."""
    accepted: list[str] = []
    ends = time.monotonic() + seconds
    process = station.process
    assert process is not None
    while time.monotonic() < ends and process.poll() is None:
        with suppress(FlowdaptError), patient(station) as client:
            accepted.append(client.run("pair").uid)
            for uid in accepted[-3:]:
                client.runs.get(uid)
            client.runs.list(limit=50)
    return accepted


def whole(station: Workstation, accepted: list[str]) -> None:
    """Fail unless everything that was accepted is there and ends well."""
    with closing(station.database()) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with patient(station) as client:
        for uid in accepted:
            assert ended(client, uid).state == "finished"
    station.doctor()


def prepared(station: Workstation, disk: Disk) -> str:
    """Start a daemon on the disk while that is healthy; return a run that it has accepted."""
    station.start(**disk.environment)
    pair = (stage("a", f"{MODULE}.short"), stage("b", f"{MODULE}.short", "a"))
    with patient(station) as client:
        client.apply([workflow("pair", *pair)])
        return client.run("pair", wait=True).uid


@pytest.mark.parametrize("first", [1, 17])
@pytest.mark.parametrize("kind", ["w", "s", "r"])
def test_one_failure_of_the_disk_is_survived(
    station: Workstation, disk: Disk, kind: str, first: int
) -> None:
    first_run = prepared(station, disk)
    disk.fail(kind, first, 1)
    accepted = work(station, 4)
    disk.heal()
    assert "the disk of the database fails" in station.output(), "it never failed"
    assert station.process is not None
    assert station.process.poll() is None, station.output()
    whole(station, [first_run, *accepted])
    assert station.end() == 0


@pytest.mark.parametrize("first", [1, 17])
@pytest.mark.parametrize("kind", ["w", "s", "r", "wsr"])
def test_the_third_failure_of_the_disk_ends_the_daemon_and_nothing_is_lost(
    station: Workstation, disk: Disk, kind: str, first: int
) -> None:
    first_run = prepared(station, disk)
    process = station.process
    assert process is not None
    # Not each failure of a call is told as one by SQLite: so it goes on failing.
    disk.fail(kind, first, 1000)
    accepted = work(station, 20)
    assert process.wait(20) == GIVEN_UP, station.output()
    assert "failed 3 times" in station.output()
    disk.heal()
    station.start()
    whole(station, [first_run, *accepted])
    assert station.end() == 0
