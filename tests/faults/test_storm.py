"""Five hundred stages fail at once under a flood of clients: retries spread, and the daemon stays answerable and small."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from typing import TYPE_CHECKING

import psutil
import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from flowdapt.client.wire import Request
from flowdapt.domain.errors import FlowdaptError
from tests.e2e.test_flood import crowd
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workstation import Workstation

FAILS = """
from flowdapt import get_run_context
from user_modules.witness import _say


def fails():
    _say("begin")
    if get_run_context().attempt == 1:
        raise ValueError("x" * 1000)
"""
STAGES, RUNS = 50, 10
# So long that the first attempts are over before the retries: only jitter spreads those.
PAUSE_S = 20
RATE_MAX = 3.0
LIVE_MAX_S = 0.5
GROWTH_MAX_MIB = 64
MIB = 1024**2


@pytest.mark.faults
def test_five_hundred_failing_stages_and_a_flood_make_no_storm(
    record_property: Callable[[str, object], None],
) -> None:
    with workstation(FLOWDAPT_LOCAL__SLOTS="4") as station:
        station.module("witness", witness.SOURCE)
        station.module("fails", FAILS)
        process = psutil.Process(station.start().pid)
        uids = submit(station)
        before = process.memory_info().rss
        flood = multiprocessing.get_context("spawn").Process(
            target=crowd, args=(station.socket_path, 200, 50, PAUSE_S * 1.5)
        )
        flood.start()
        waits = looks(station, PAUSE_S * 1.5)
        flood.join(60)
        grown = (process.memory_info().rss - before) / MIB
        all_finished(station, uids)
        ratio = peak_over_mean(witness.read(station))
        p99 = waits[int(len(waits) * 0.99)]
        record_property("F63 peak retry rate over the mean", f"{ratio:.2f}")
        record_property("F63 p99 of /livez, seconds; growth", f"{p99:.3f}; {grown:.1f} MiB")
        assert ratio <= RATE_MAX
        assert p99 < LIVE_MAX_S
        assert grown < GROWTH_MAX_MIB
        assert station.end() == 0
        station.doctor()


def submit(station: Workstation) -> list[str]:
    retry = {"max_attempts": 2, "initial": f"{PAUSE_S}s", "max": f"{PAUSE_S}s"}
    failing = [stage(f"s{n}", "user_modules.fails.fails", retry=retry) for n in range(STAGES)]
    with station.client() as client:
        client.apply([workflow("fails", *failing)])
        # The framework is loaded in the background after the start: its memory is not the flood's.
        client.status()
        return [client.run("fails").uid for _ in range(RUNS)]


def looks(station: Workstation, seconds: float) -> list[float]:
    """Return how long each look at /livez took, in order of length, refusals and new tries included."""
    waits = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.perf_counter()
        while not _alive(station):
            time.sleep(0.01)
        waits.append(time.perf_counter() - began)
        time.sleep(0.02)
    return sorted(waits)


def _alive(station: Workstation) -> bool:
    try:
        asked = Request("GET", "/livez", (), (), b"", 60.0)
        return UnixTransport(station.socket_path).send(asked).ok
    except FlowdaptError:
        return False


def all_finished(station: Workstation, uids: list[str]) -> None:
    with Client(transport=UnixTransport(station.socket_path)) as client:
        eventually(
            lambda: all(client.runs.get(uid).state == "finished" for uid in uids), timeout_s=90,
            every_s=0.5, what="every run has finished",
        )  # fmt: skip


def peak_over_mean(lines: list[witness.Line]) -> float:
    """Return the retries of the busiest second over those of a mean one, from the first failure on."""
    began = min(line.time for line in lines)
    retries = [line.time - began for line in lines if line.attempt > 1]
    assert len(retries) == STAGES * RUNS, "not every stage was tried again"
    return max(Counter(map(int, retries)).values()) / (len(retries) / max(retries))
