"""Workers that are killed and stages that crash: each loss is its own stage's, over restarts as well."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from flowdapt.client import Client
from flowdapt.client.repeating import Repeats
from flowdapt.client.unix import UnixTransport
from flowdapt.domain.run import RunState
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

POISON = """
import os
import signal
import time

from user_modules.witness import _say


def crash(*values):
    _say("begin")
    os.kill(os.getpid(), signal.SIGSEGV)


def gentle(*values):
    _say("begin")
    time.sleep(0.3)
    _say("end")
    return 1


def deaf(*values):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _say("begin")
    while True:
        time.sleep(0.05)
"""
MODULE = "user_modules.poison"


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation(FLOWDAPT_LOCAL__SLOTS="4") as made:
        made.module("witness", witness.SOURCE)
        made.module("poison", POISON)
        yield made


def ended(client: Client, uid: str, *, within_s: float = 60) -> Run:
    def terminal() -> Run | None:
        run = client.runs.get(uid)
        return run if run.state.terminal else None

    run = eventually(terminal, timeout_s=within_s, every_s=0.05, what="the run has ended")
    assert run is not None
    return run


def begun(station: Workstation, name: str) -> list[witness.Line]:
    return [line for line in witness.read(station) if line.word == "begin" and line.stage == name]


def test_workers_killed_twice_a_second_cost_their_own_stages_only(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    process = station.start()
    names = [f"s{n}" for n in range(24)]
    document = workflow("many", *(stage(n, f"{MODULE}.gentle") for n in names))
    killed: list[int] = []
    with station.client() as client:
        client.apply([document])
        uid = client.run("many").uid
        while not client.runs.get(uid).state.terminal and len(killed) < 5:
            living = {line.pid for line in witness.read(station) if line.word == "begin"}
            children = {c.pid for c in psutil.Process(process.pid).children(recursive=True)}
            for pid in sorted(living & children - set(killed))[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.5)
        run = ended(client, uid)
        assert client.status()["pid"] == process.pid
    assert killed
    assert run.state is RunState.FINISHED, run.error
    lost = {one.name: one.losses for one in run.stages if one.losses}
    assert sum(lost.values()) <= len(killed), (lost, killed, witness.read(station))
    record_property("P19 ended of 24 stages, workers killed", f"24, {len(killed)}")
    witness.check(station, [run])
    station.doctor()


def test_a_stage_that_crashes_does_so_three_times_over_restarts_and_hurts_nobody(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    station.start()
    document = workflow(
        "poisoned",
        stage("crash", f"{MODULE}.crash"),
        *(stage(f"n{i}", f"{MODULE}.gentle") for i in range(2)),
    )
    with station.client() as client:
        client.apply([document])
        uid = client.run("poisoned").uid
        # Killed as soon as its first loss is told: the count must be there after the restart.
        eventually(lambda: client.runs.get(uid).stages[0].losses >= 1, every_s=0.005)
    station.kill()
    station.start()
    with station.client() as client:
        run = ended(client, uid)
    crash, *neighbours = run.stages
    assert (run.state, crash.reason, crash.losses) == (RunState.FAILED, "stage_crashed", 3)
    assert [(one.state, one.losses) for one in neighbours] == [("finished", 0)] * 2
    # One begin more is the one that a kill of the daemon cut short.
    assert 3 <= len(begun(station, "crash")) <= 4
    record_property("P5 losses until crashed, of neighbours", f"{crash.losses}, 0")
    station.doctor()


def test_cancel_and_timeout_bite_whatever_the_stage_does(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    station.start()
    with station.client() as client:
        client.apply(
            [
                workflow("deaf", stage("deaf", f"{MODULE}.deaf")),
                workflow("late", stage("deaf", f"{MODULE}.deaf", timeout="1s")),
            ]
        )
        late = client.run("late")
        uid = client.run("deaf").uid
        eventually(lambda: [line for line in begun(station, "deaf") if line.run == uid])
        asked = time.monotonic()
        client.runs.cancel(uid)
        assert ended(client, uid).state is RunState.CANCELLED
        took = time.monotonic() - asked
        over = ended(client, late.uid)
    assert took <= 5 + 2
    assert (over.state, over.reason) == (RunState.FAILED, "timeout")
    assert over.finished_at is not None
    assert over.started_at is not None
    lasted = (over.finished_at - over.started_at).total_seconds()
    assert lasted <= 1 + 6 + 1  # the first second is its worker's start
    record_property("P21 seconds from cancel to cancelled (SIGTERM ignored)", f"{took:.2f}")
    record_property("P20 seconds from start to dead, timeout 1 s", f"{lasted:.2f}")
    pids = {line.pid for line in begun(station, "deaf")}
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in pids), timeout_s=2)
    station.doctor()


CANCEL_POINTS = (
    "cancel.before_store",
    "cancel.after_store",
    "drive.before_commit",
    "drive.after_commit",
    "drive.after_task",
    "drive.before_announce",
)


@pytest.mark.parametrize(
    "point",
    [*CANCEL_POINTS[:2], *(pytest.param(p, marks=pytest.mark.faults) for p in CANCEL_POINTS[2:])],
)
def test_a_cancel_is_carried_out_though_the_daemon_dies_at(
    station: Workstation, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel a queued run, one between two stages and a running one; the daemon dies meanwhile."""
    # Nobody starts the daemon again while the client would wait for it.
    monkeypatch.setattr("flowdapt.client.client.Repeats", partial(Repeats, patience_s=0.2))
    station.start()
    gentle = f"{MODULE}.gentle"
    with station.client() as client:
        client.apply(
            [
                workflow(
                    "chain", stage("a", gentle), stage("b", gentle, "a"), stage("c", gentle, "b")
                ),
                workflow("single", stage("a", gentle), concurrency={"max_runs": 1}),
            ]
        )
    station.kill()
    station.spawn(FLOWDAPT_FAILPOINT=f"{point}:kill@{2 if point.startswith('drive') else 1}")
    uids = _submit_and_cancel(station)
    if station.process is not None and station.process.poll() is None:
        station.kill()
    station.start()
    with station.client() as client:
        for uid in uids:
            asked = time.monotonic()
            client.runs.cancel(uid)
            assert ended(client, uid, within_s=7).state in (RunState.CANCELLED, RunState.FINISHED)
            assert time.monotonic() - asked <= 7
    station.doctor()


def _submit_and_cancel(station: Workstation) -> list[str]:
    """Submit and cancel until the daemon is dead under it; return what was accepted."""
    uids: list[str] = []
    assert station.process is not None
    deadline = time.monotonic() + 15
    while station.process.poll() is None and time.monotonic() < deadline:
        try:
            with Client(transport=UnixTransport(station.socket_path)) as client:
                uids += [client.run(name).uid for name in ("chain", "single", "single")]
                for uid in uids[-3:]:
                    client.runs.cancel(uid)
        except Exception:
            time.sleep(0.02)
    return uids
