"""SIGKILL the daemon, again and again: no run is lost, none is stuck, nothing committed runs again."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from flowdapt.client.repeating import Repeats
from tests.faults import witness
from tests.faults.seeds import chosen_seed
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

# httpx leaves its socket open when the daemon dies between two of its steps; the kills see to that.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation() as made:
        made.module("witness", witness.SOURCE)
        yield made


def submit_and_kill(station: Workstation, kills: int, seed: int) -> list[str]:
    """Keep a load on while the daemon is killed at random instants; return the accepted runs."""
    chance = random.Random(seed)
    accepted: list[str] = []
    for _ in range(kills):
        station.start()
        with station.client() as client:
            if not accepted:
                client.apply([witness.diamonds("load", width=6, depth=7)])
            accepted += [client.run("load").uid for _ in range(2)]
        time.sleep(chance.uniform(0.0, 0.8))
        station.kill()
    return accepted


def all_ended(station: Workstation, uids: list[str], *, within_s: float) -> list[Run]:
    with station.client() as client:

        def terminal() -> list[Run] | None:
            runs = [client.runs.get(uid) for uid in uids]
            return runs if all(run.state.terminal for run in runs) else None

        return (
            eventually(terminal, timeout_s=within_s, every_s=0.2, what="every run is terminal")
            or []
        )


def kill_loop(
    station: Workstation, kills: int, record_property: Callable[[str, object], None]
) -> None:
    seed = chosen_seed()
    record_property("seed", seed)
    station.log.write_text(f"seed {seed}\n")
    uids = submit_and_kill(station, kills, seed)
    station.start()
    runs = all_ended(station, uids, within_s=60)
    witness.check(station, runs)
    assert all(s.losses == 0 for run in runs for s in run.stages), "a restart is nobody's loss"
    record_property(f"P1 runs ended of accepted, {kills} kills", f"{len(runs)} of {len(uids)}")
    tell_reruns(station, runs, kills, record_property)
    station.doctor()
    assert station.end() == 0


def test_twenty_kills_lose_nothing_and_run_nothing_twice(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    kill_loop(station, 20, record_property)


def tell_reruns(
    station: Workstation,
    runs: list[Run],
    kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Tell how often a body began anew, all of them before its stage had finished (`witness.check`)."""
    stages = sum(len(run.stages) for run in runs)
    begun = sum(line.word == "begin" for line in witness.read(station))
    record_property(
        f"P2 stages finished, run again after it, begun anew before, {kills} kills",
        f"{stages}, 0, {begun - stages}",
    )


@pytest.mark.faults
def test_two_hundred_kills_lose_nothing_and_run_nothing_twice(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    kill_loop(station, 200, record_property)


def test_ten_kills_during_recovery_converge(
    station: Workstation, record_property: Callable[[str, object], None]
) -> None:
    station.start()
    with station.client() as client:
        client.apply([witness.diamonds("load", width=6, depth=7)])
        uids = [client.run("load").uid for _ in range(3)]
    time.sleep(0.3)
    station.kill()
    chance = random.Random(7)
    for _ in range(10):
        process = station.spawn()
        time.sleep(chance.uniform(0.2, 0.9))
        process.kill()
        process.wait()
    station.start()
    runs = all_ended(station, uids, within_s=60)
    witness.check(station, runs)
    tell_reruns(station, runs, 10, record_property)
    assert all(s.losses == 0 for run in runs for s in run.stages)


def test_a_map_goes_on_after_a_kill_and_keeps_its_order(station: Workstation) -> None:
    station.start()
    document = workflow(
        "map",
        stage("numbers", "user_modules.witness.numbers"),
        stage("each", "user_modules.witness.item", "numbers", type="parameterized"),
    )
    with station.client() as client:
        client.apply([document])
        uid = client.run("map", {"n": 1500}).uid
        eventually(lambda: client.runs.get(uid).stages[1].items.finished > 50, every_s=0.05)  # type: ignore[union-attr]
    station.kill()
    station.start()
    (run,) = all_ended(station, [uid], within_s=60)
    assert run.result == [2 * n for n in range(1500)]
    station.doctor()


def test_a_killed_process_group_leaves_nobody_behind(station: Workstation) -> None:
    station.start()
    with station.client() as client:
        client.apply([workflow("w", stage("a", "user_modules.witness.slow"))])
        client.run("w")
        eventually(lambda: witness.read(station))
    station.kill()
    eventually(lambda: not station.descendants(), timeout_s=3, what="no orphan is left")


FAILPOINTS = (
    "submit.before_store",
    "submit.after_store",
    "claim.after_store",
    "drive.before_commit",
    "drive.after_commit",
    "drive.before_start",
    "drive.before_task",
    "drive.after_task",
    "drive.before_announce",
    "recover.before_store",
    "recover.after_store",
    "cancel.before_store",
    "cancel.after_store",
    "retry.before_inherit",
    "delete.before_store",
    "delete.after_store",
    "drain.before_store",
    "drain.after_store",
    "beat.before_store",
    "up.before_store",
    "up.before_ready",
    "down.before_store",
    "backup.before_store",
    "backup.after_store",
    "gc.after_store",
    "commit.before_store",
    "commit.after_store",
    "up.after_lock",
    "up.after_store",
    "backup.before_rename",
)


@pytest.mark.parametrize(
    "nth", [1, pytest.param(2, marks=pytest.mark.faults), pytest.param(3, marks=pytest.mark.faults)]
)
@pytest.mark.parametrize("name", FAILPOINTS)
def test_a_kill_at_each_named_point_is_survived(
    station: Workstation, name: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody starts the daemon again while the client would wait for it.
    impatient = partial(Repeats, patience_s=0.2)
    monkeypatch.setattr("flowdapt.client.client.Repeats", impatient)
    station.start()
    with station.client() as client:
        client.apply([witness.diamonds("load", width=2, depth=1)])
        first = client.runs.wait(client.run("load", wait=True).uid)
    station.kill()
    accepted = [first.uid]
    process = station.spawn(FLOWDAPT_FAILPOINT=f"{name}:kill@{nth}")
    accepted += _exercise(station, process.poll)
    if process.poll() is None:
        station.end()
    assert process.wait(30) in (-9, 0)
    station.start()
    gone = {"delete.before_store", "delete.after_store"}
    with station.client() as client:
        known = {run.uid for run in client.runs.list(limit=200).items}
    if name not in gone:
        assert set(accepted) <= known, "an accepted run is lost"
    ended = all_ended(station, sorted(known), within_s=60)
    assert all(run.state in ("finished", "cancelled") for run in ended)
    witness.check(station, [run for run in ended if run.state == "finished"])
    station.doctor()


def _exercise(station: Workstation, poll: Callable[[], int | None]) -> list[str]:
    """Do everything that passes the points, until the daemon dies under it."""
    accepted: list[str] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and poll() is None:
        try:
            with station.client() as client:
                uid = client.run("load").uid
                accepted.append(uid)
                done = client.runs.wait(uid, timeout=10)
                cancelled = client.run("load").uid
                accepted.append(cancelled)
                client.runs.cancel(cancelled)
                again = client.runs.retry(done.uid)
                accepted.append(again.uid)
                client.runs.wait(again.uid, timeout=10)
                client.runs.delete(again.uid)
                accepted.remove(again.uid)
                client.backup()
                client.gc()
                if len(accepted) > 8:
                    return accepted
        except Exception:
            time.sleep(0.05)
    return accepted
