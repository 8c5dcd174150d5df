"""Clusters that fail under a load: workers, the scheduler, the daemon; every run ends, nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.run import RunState
from tests.clusters.dask import outside_dask
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.clusters.dask import OutsideDask
    from tests.workstation import Workstation

# httpx leaves its socket open when the daemon dies between two of its steps; the kills see to that.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.clusters,
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
    with outside_dask(nannies=True) as made:
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


def finish_with_another_daemon(station: Workstation, uid: str) -> None:
    """Kill the daemon while the last stage of the run waits at the gate; have the next one finish it."""
    station.kill()
    station.start()
    eventually(lambda: begun(station, "wait") == 2, timeout_s=60)
    (station.home / "gate").touch()
    with station.client() as client:
        run = client.runs.wait(uid, timeout=60)
        assert (run.state, run.result) == (RunState.FINISHED, [3_000_000, 7])


def test_a_daemon_that_comes_back_does_only_what_was_not_stored(
    station: Workstation, cluster: OutsideDask
) -> None:
    station.start()
    use(station, cluster.url)
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
    finish_with_another_daemon(station, uid)
    assert (begun(station, "large"), begun(station, "small")) == (1, 1)
    station.doctor()


def test_what_only_the_cluster_had_is_made_again_after_the_daemon_came_back(
    station: Workstation, cluster: OutsideDask
) -> None:
    first, *rest = GATED["spec"]["stages"]
    station.start()
    use(station, cluster.url)
    with station.client() as client:
        client.apply([workflow("gated", {**first, "checkpoint": "never"}, *rest)])
        uid = client.run("gated").uid
        eventually(lambda: begun(station, "wait"), timeout_s=30)
    finish_with_another_daemon(station, uid)
    assert (begun(station, "large"), begun(station, "small")) == (2, 1)
    station.doctor()


def test_a_scheduler_that_is_gone_opens_the_circuit_and_heals(
    station: Workstation, cluster: OutsideDask
) -> None:
    station.start()
    use(station, cluster.url)
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
        # The nannies ended with their scheduler; whoever runs the cluster starts them again, late.
        eventually(lambda: "✔ ready" in station.cli("executor", "ls").stdout, timeout_s=60)
        assert client.runs.get(uid).state is RunState.RUNNING, "without workers it waits"
        cluster.add_worker()
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
    kill: Callable[[], object],
    *,
    runs: int,
    every_s: float,
    target: str = "work",
    record_property: Callable[[str, object], None],
) -> None:
    """Kill one worker after the other under a load: what fails may only be a stage that lost three of them."""
    with station.client() as client:
        load = witness.diamonds("load", width=6, depth=7)
        for one in load["spec"]["stages"]:
            one["target"] = f"user_modules.witness.{target}"
        client.apply([load])
        uids = [client.run("load").uid for _ in range(runs)]
        kills = 0
        deadline = time.monotonic() + 600
        while not all(client.runs.get(uid).state.terminal for uid in uids):
            assert time.monotonic() < deadline, "every run ends"
            kills += kill() is not None
            time.sleep(every_s)
        ended = [client.runs.get(uid) for uid in uids]
    record_property("P19 worker kills", kills)
    record_property("P19 runs by end", f"{[run.state for run in ended].count(RunState.FINISHED)}")
    crashed = [r for r in ended if r.state is RunState.FAILED and r.reason != "stage_crashed"]
    assert crashed == [], [run.error for run in crashed]
    witness.check(station, [run for run in ended if run.state is RunState.FINISHED])
    station.doctor()


def processes_named(station: Workstation, beginning: str) -> list[int]:
    """Return the processes of this station whose command line begins so."""
    found = []
    for pid in station.descendants():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if line.startswith(beginning) or f"/{beginning}" in line.split(" ")[0]:
            found.append(pid)
    return found


def kill_named(station: Workstation, beginning: str) -> int | None:
    pids = processes_named(station, beginning)
    if not pids:
        return None
    with suppress(ProcessLookupError):
        os.kill(pids[-1], signal.SIGKILL)
    return pids[-1]


def test_workers_killed_under_a_load_cost_only_their_tasks(
    station: Workstation, cluster: OutsideDask, record_property: Callable[[str, object], None]
) -> None:
    station.start()
    use(station, cluster.url)
    kill_workers(station, cluster.kill_worker, runs=1, every_s=2.0, record_property=record_property)


@pytest.mark.faults
def test_workers_of_ray_killed_under_a_load_cost_only_their_tasks(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    """F57 and P19."""
    station.start()
    use(station, "ray")
    kill_workers(
        station, lambda: kill_named(station, "ray::"), runs=4, every_s=2.0, target="slow",
        record_property=record_property,
    )  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("part", ["raylet", "gcs_server"])
def test_a_ray_that_lost_its_head_is_started_again_and_the_runs_go_on(
    station: Workstation, part: str
) -> None:
    """F57: the daemon lives, nothing fails for it, and what was stored is not made again."""
    station.start()
    use(station, "ray")
    with station.client() as client:
        client.apply([GATED])
        uid = client.run("gated").uid
        eventually(lambda: begun(station, "wait"), timeout_s=60)
        time.sleep(1)  # the large result is stored meanwhile
        assert kill_named(station, part) is not None
        eventually(lambda: begun(station, "wait") >= 2, timeout_s=150)
        (station.home / "gate").touch()
        run = client.runs.wait(uid, timeout=60)
        assert (run.state, run.result) == (RunState.FINISHED, [3_000_000, 7])
        assert (begun(station, "large"), begun(station, "small")) == (1, 1)
        assert station.process is not None
        assert station.process.poll() is None
    station.doctor()


@pytest.mark.faults
def test_a_worker_killed_every_two_seconds_under_two_hundred_stages(
    station: Workstation, cluster: OutsideDask, record_property: Callable[[str, object], None]
) -> None:
    """P19."""
    station.start()
    use(station, cluster.url)
    kill_workers(
        station, cluster.kill_worker, runs=4, every_s=2.0, target="slow",
        record_property=record_property,
    )  # fmt: skip


def test_a_cluster_started_here_ends_with_a_killed_daemon(station: Workstation) -> None:
    station.start()
    use(station, "dask")
    assert station.process is not None
    os.kill(station.process.pid, signal.SIGKILL)
    station.process.wait()
    eventually(lambda: station.descendants() == [], timeout_s=15, what="nothing is left")
