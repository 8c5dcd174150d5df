"""A cancel that was accepted is carried out, wherever the daemon dies on its way: nobody has to ask again."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from flowdapt.domain.errors import FlowdaptError
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

STAGES = """
import signal
import time


def endless(*values):
    time.sleep(3600)


def deaf(*values):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.05)


def fails():
    raise ValueError("as always")


def item(n):
    time.sleep(0.2)
    return n
"""
MODULE = "user_modules.ways"
# What a cancel may take: five seconds of grace and two more.
BOUND_S = 7.0
ONE_AT_A_TIME = {"max_runs": 1}
WORKFLOWS = {
    "queued": workflow("queued", stage("a", f"{MODULE}.endless"), concurrency=ONE_AT_A_TIME),
    "pending": workflow("pending", stage("a", f"{MODULE}.endless")),
    "running": workflow("running", stage("a", f"{MODULE}.endless")),
    "deaf": workflow("deaf", stage("a", f"{MODULE}.deaf")),
    "mapped": workflow("mapped", stage("a", f"{MODULE}.item", type="parameterized", map_on="n")),
    "retrying": workflow(
        "retrying",
        stage("a", f"{MODULE}.fails", retry={"max_attempts": 50, "initial": "100s"}),
    ),
}
# Places that the wish passes, and those that the end of a run in hand passes as well.
WISHED = ("cancel.before_store", "commit.before_store", "commit.after_store", "cancel.after_store")
ENDED = ("drive.before_commit", "drive.after_commit", "drive.before_announce")
STOPPED = ("drive.after_task",)
WAYS = {
    "queued": WISHED,
    "pending": (*WISHED, *STOPPED, *ENDED),
    "running": (*WISHED, *STOPPED, *ENDED),
    "deaf": (*WISHED, *STOPPED, *ENDED),
    # Its items are written all the while: which commit is the wish's cannot be told.
    "mapped": ("cancel.before_store", "cancel.after_store", *STOPPED, *ENDED),
    "retrying": (*WISHED, *ENDED),
}
# The wish is not stored yet when these are reached.
TOO_EARLY = frozenset({"cancel.before_store", "commit.before_store"})
AT_THE_START = (
    "up.before_store",
    "up.after_store",
    "recover.before_store",
    "recover.after_store",
    "drive.before_commit",
    "drive.after_commit",
    "up.before_ready",
)
QUICK = {
    ("queued", "commit.after_store"),
    ("running", "cancel.before_store"),
    ("running", "drive.before_commit"),
    ("retrying", "cancel.after_store"),
}


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation(FLOWDAPT_LOCAL__SLOTS="1") as made:
        made.module("ways", STAGES)
        yield made


def asking_once(station: Workstation) -> Client:
    """Return a client that waits for no daemon: the one that dies is not started by it."""
    return Client(transport=UnixTransport(station.socket_path))


def bring_into(client: Client, state: str) -> str:
    """Start a run and return it when it is in that state, and stays there."""
    client.apply(list(WORKFLOWS.values()))
    if state in ("queued", "pending"):
        blocker = client.run(state).uid
        eventually(lambda: client.runs.get(blocker).stages[0].state == "running")
    uid = client.run(state, {"n": list(range(1000))} if state == "mapped" else None).uid
    eventually(lambda: _is_in(client.runs.get(uid), state), what=f"the run is {state}")
    return uid


def _is_in(run: Run, state: str) -> bool:
    wanted = {
        "queued": ("queued", "pending"),
        "pending": ("running", "pending"),
        "retrying": ("running", "retrying"),
    }
    return (run.state, run.stages[0].state) == wanted.get(state, ("running", "running"))


def cancelled_by_itself(station: Workstation, uid: str) -> float:
    """Return how long after the start the run was cancelled."""
    began = time.monotonic()
    with asking_once(station) as client:
        eventually(
            lambda: client.runs.get(uid).state.terminal, timeout_s=BOUND_S, every_s=0.02,
            what="the cancel went on by itself",
        )  # fmt: skip
        took = time.monotonic() - began
        assert client.runs.get(uid).state == "cancelled"
    return took


def every_way(ways: dict[str, tuple[str, ...]]) -> list[object]:
    return [
        pytest.param(state, point, marks=() if (state, point) in QUICK else pytest.mark.faults)
        for state, points in ways.items()
        for point in points
    ]


@pytest.mark.parametrize(("state", "point"), every_way(WAYS))
def test_a_cancel_goes_on_by_itself_after_the_daemon_died_at(
    station: Workstation, state: str, point: str, record_property: Callable[[str, object], None]
) -> None:
    when = "" if point == "cancel.before_store" else "@cancel.before_store"
    process = station.start(FLOWDAPT_FAILPOINT=f"{point}:kill{when}")
    with asking_once(station) as client:
        uid = bring_into(client, state)
        with suppress(FlowdaptError):
            client.runs.cancel(uid)
    # A stage that is deaf is only ended after its grace.
    assert process.wait(15) == -9, "the place is not on this way"
    station.start()
    if point in TOO_EARLY:
        with asking_once(station) as client:
            assert not client.runs.get(uid).state.terminal
            assert client.runs.get(uid).cancel_requested_at is None
            client.runs.cancel(uid)
    took = cancelled_by_itself(station, uid)
    record_property(f"P21 seconds, {state}, died at {point}", f"{took:.2f}")
    station.doctor()


@pytest.mark.faults
@pytest.mark.parametrize("point", AT_THE_START)
def test_a_cancel_goes_on_though_the_next_daemon_dies_in_its_start_at(
    station: Workstation, point: str, record_property: Callable[[str, object], None]
) -> None:
    process = station.start(FLOWDAPT_FAILPOINT="cancel.after_store:kill")
    with asking_once(station) as client:
        uid = bring_into(client, "running")
        with suppress(FlowdaptError):
            client.runs.cancel(uid)
    assert process.wait(15) == -9
    assert station.spawn(FLOWDAPT_FAILPOINT=f"{point}:kill").wait(15) == -9
    station.start()
    took = cancelled_by_itself(station, uid)
    record_property(f"P21 seconds, second death at {point}", f"{took:.2f}")
    station.doctor()
