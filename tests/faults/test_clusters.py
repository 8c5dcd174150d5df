"""Clusters that fail under a load: workers, the scheduler, the daemon; every run ends, nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.run import RunState
from tests.clusters import outside_dask
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.clusters import OutsideDask
    from tests.workstation import Workstation

# httpx leaves its socket open when the daemon dies between two of its steps; the kills see to that.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

_PATH = 'os.path.join(os.environ["FLOWDAPT_HOME"], "witness.txt")'

STAGES = """
import os
import time

from user_modules.witness import _say


def large(size=3_000_000):
    _say("begin")
    _say("end")
    return bytes(size)


def small():
    _say("begin")
    _say("end")
    return 7


def wait_for(large, small, *, gate="GATE"):
    _say("begin")
    while not os.path.exists(gate):
        time.sleep(0.02)
    _say("end")
    return [len(large), small]
"""


@pytest.fixture
def cluster() -> Iterator[OutsideDask]:
    with outside_dask() as made:
        yield made


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation() as made:
        # A cluster's workers have an environment of their own.
        path = repr(str(made.home / "witness.txt"))
        made.module("witness", witness.SOURCE.replace(_PATH, path))
        gate = made.home / "gate"
        made.module("clusters", STAGES.replace('"GATE"', repr(str(gate))))
        yield made


def use(station: Workstation, target: str) -> None:
    done = station.cli("use", target)
    assert done.returncode == 0, done.stdout + done.stderr


def begun(station: Workstation, name: str) -> int:
    return sum(line.word == "begin" and line.stage == name for line in witness.read(station))


GATED = workflow(
    "gated",
    stage("large", "user_modules.clusters.large"),
    stage("small", "user_modules.clusters.small"),
    stage("wait", "user_modules.clusters.wait_for", "large", "small"),
)


def test_a_daemon_that_comes_back_does_only_what_was_not_stored(
    station: Workstation, cluster: OutsideDask
) -> None:
    station.start()
    use(station, cluster.address)
    with station.client() as client:
        client.apply([GATED])
        uid = client.run("gated").uid
        eventually(lambda: begun(station, "wait"), timeout_s=30)
        stored = eventually(
            lambda: (
                list((station.home / "values").rglob(f"{uid}/large*.pickle"))
                or list(station.home.rglob(f"{uid}/large*.pickle"))
            ),
            timeout_s=10,
            what="the large result is stored while its dependant runs",
        )
        assert stored
        time.sleep(0.5)  # its row is written
    station.kill()
    station.start()
    eventually(lambda: begun(station, "wait") == 2, timeout_s=60)
    (station.home / "gate").touch()
    with station.client() as client:
        run = client.runs.wait(uid, timeout=60)
        assert (run.state, run.result) == (RunState.FINISHED, [3_000_000, 7])
        assert (begun(station, "large"), begun(station, "small")) == (1, 1)
    station.doctor()


def test_what_only_the_cluster_had_is_made_again_after_the_daemon_came_back(
    station: Workstation, cluster: OutsideDask
) -> None:
    first, *rest = GATED["spec"]["stages"]
    station.start()
    use(station, cluster.address)
    with station.client() as client:
        client.apply([workflow("gated", {**first, "checkpoint": "never"}, *rest)])
        uid = client.run("gated").uid
        eventually(lambda: begun(station, "wait"), timeout_s=30)
    station.kill()
    station.start()
    eventually(lambda: begun(station, "wait") == 2, timeout_s=60)
    (station.home / "gate").touch()
    with station.client() as client:
        run = client.runs.wait(uid, timeout=60)
        assert (run.state, run.result) == (RunState.FINISHED, [3_000_000, 7])
        assert (begun(station, "large"), begun(station, "small")) == (2, 1)
    station.doctor()


def test_a_scheduler_that_is_gone_opens_the_circuit_and_heals(
    station: Workstation, cluster: OutsideDask
) -> None:
    station.start()
    use(station, cluster.address)
    with station.client() as client:
        client.apply([GATED])
        cluster.kill_scheduler()
        uid = client.run("gated").uid
        eventually(
            lambda: any("it waits for the executor" in r.message for r in client.runs.explain(uid)),
            timeout_s=120,
            what="why says that it waits for the executor",
        )
        assert client.runs.get(uid).state is RunState.RUNNING, "nothing fails for it"
        (station.home / "gate").touch()
        cluster.start_scheduler()
        run = client.runs.wait(uid, timeout=120)
        assert (run.state, run.result) == (RunState.FINISHED, [3_000_000, 7])


def test_an_address_that_never_answers_is_refused_in_time_and_changes_nothing(
    station: Workstation,
) -> None:
    """F58: the connect hangs; the API goes on answering."""
    station.start()
    with socket.socket() as hole, station.client() as client:
        hole.bind(("127.0.0.1", 0))
        hole.listen(64)
        began = time.monotonic()
        done = station.cli("use", f"dask://127.0.0.1:{hole.getsockname()[1]}")
        assert done.returncode in (1, 7), done.stdout + done.stderr
        assert time.monotonic() - began < 25
        assert "not switched (still: local)" in done.stdout + done.stderr
        assert client.status()["executor"]["name"] == "local"


def kill_workers(
    station: Workstation,
    cluster: OutsideDask,
    *,
    runs: int,
    every_s: float,
    record_property: Callable[[str, object], None],
) -> None:
    station.start()
    use(station, cluster.address)
    with station.client() as client:
        client.apply([witness.diamonds("load", width=6, depth=7)])
        uids = [client.run("load").uid for _ in range(runs)]
        kills = 0
        deadline = time.monotonic() + 600
        while not all(client.runs.get(uid).state.terminal for uid in uids):
            assert time.monotonic() < deadline, "every run ends"
            kills += cluster.kill_worker() is not None
            time.sleep(every_s)
        ended = [client.runs.get(uid) for uid in uids]
    record_property("P19 worker kills", kills)
    record_property("P19 runs by end", f"{[run.state for run in ended].count(RunState.FINISHED)}")
    crashed = [r for r in ended if r.state is RunState.FAILED and r.reason != "stage_crashed"]
    assert crashed == [], [run.error for run in crashed]
    witness.check(station, [run for run in ended if run.state is RunState.FINISHED])
    station.doctor()


def test_workers_killed_under_a_load_cost_only_their_tasks(
    station: Workstation, cluster: OutsideDask, record_property: Callable[[str, object], None]
) -> None:
    kill_workers(station, cluster, runs=1, every_s=2.0, record_property=record_property)


@pytest.mark.faults
def test_a_worker_killed_every_two_seconds_under_two_hundred_stages(
    station: Workstation, cluster: OutsideDask, record_property: Callable[[str, object], None]
) -> None:
    """P19."""
    kill_workers(station, cluster, runs=5, every_s=2.0, record_property=record_property)


def test_a_cluster_started_here_ends_with_a_killed_daemon(station: Workstation) -> None:
    station.start()
    use(station, "dask")
    assert station.process is not None
    os.kill(station.process.pid, signal.SIGKILL)
    station.process.wait()
    eventually(lambda: station.descendants() == [], timeout_s=15, what="nothing is left")
