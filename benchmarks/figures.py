"""The figures: each measures flowdapt and its floor in the same run and says the ratio between them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import floors
from benchmarks.figure import Figure
from benchmarks.floors import Commits
from benchmarks.raw_http import RawConnection
from benchmarks.timing import (
    Sample,
    children_of,
    cpu_seconds,
    interleave,
    repeat,
    rss_mib,
    time_once,
)
from benchmarks.workstation import Workstation, open_workstation, time_to_ready
from flowdapt.client import Client
from flowdapt.client.endpoints import system

__all__ = ["FIGURES", "Dbos", "Figure"]


def _at_most(name: str, measured: str, floor: str, ratio: float, limit: float) -> Figure:
    return Figure(name, measured, floor, ratio, f"<= {limit:g}", ratio <= limit)


def _told_only(name: str, measured: str, floor: str, ratio: float) -> Figure:
    return Figure(name, measured, floor, ratio, "told only", reached=True)


def _at_least(name: str, measured: str, floor: str, ratio: float, limit: float) -> Figure:
    return Figure(name, measured, floor, ratio, f">= {limit:g}", ratio >= limit)


def _run(client: Client, workflow: str, **input_: object) -> None:
    run = client.run(workflow, input_, wait=True)
    assert run.state == "finished", f"{workflow}: {run.state} {run.error}"


@dataclass(frozen=True, slots=True)
class Dbos:
    """What DBOS on SQLite did, and when that was measured."""

    run_s: float = 0.0092
    runs_per_s: float = 85.0
    when: str = "measured earlier, elsewhere"


def one_run(station: Workstation, dbos: Dbos) -> list[Figure]:
    """Time one no-op run from submission to result; the empty request is made by the same client."""
    trips = floors.worker_round_trips(150).times_s
    with (
        closing(RawConnection(station.home)) as raw,
        closing(Commits(station.home, "FULL")) as full,
    ):
        noop, asked, bare, commit = interleave(
            [
                lambda: _run(station.client, "noop"),
                lambda: station.client.ask(system.ready()),
                raw.empty_request,
                full.commit,
            ],
            300,
            warm=20,
        )
    trip = Sample(trips + floors.worker_round_trips(150).times_s)
    floor_s = asked.median_s + commit.median_s + trip.median_s
    bare_s = bare.median_s + commit.median_s + trip.median_s
    words = f"request {asked.words} + FULL commit {commit.words} + worker {trip.words}"
    theirs = f"{dbos.run_s * 1000:.1f} ms, {dbos.when}"
    return [
        _at_most("one no-op run / floor", noop.words, words, noop.median_s / floor_s, 3),
        _told_only(
            "one no-op run / floor with a bare socket",
            noop.words,
            bare.words,
            noop.median_s / bare_s,
        ),
        _at_most("one no-op run / DBOS", noop.words, theirs, noop.median_s / dbos.run_s, 1),
    ]


def chain(station: Workstation, _: Dbos) -> list[Figure]:
    """Time 20 no-op stages in a line, per stage."""
    trips = floors.worker_round_trips(150).times_s
    with closing(Commits(station.home, "NORMAL")) as normal:
        whole, commit = interleave([lambda: _run(station.client, "chain"), normal.commit], 60)
    trip = Sample(trips + floors.worker_round_trips(150).times_s)
    stage = Sample(tuple(time_s / 20 for time_s in whole.times_s))
    floor_s = trip.median_s + commit.median_s
    words = f"worker {trip.words} + NORMAL commit {commit.words}"
    return [_at_most("a stage of a chain / floor", stage.words, words, stage.median_s / floor_s, 3)]


def items(station: Workstation, _: Dbos) -> list[Figure]:
    """Count items a second of one mapped stage, durable."""
    floor = statistics.median(floors.pool_items_per_s() for _ in range(3))
    figures = []
    for count, limit in ((10_000, 50), (100_000, 100)):
        sample = repeat(lambda count=count: _run(station.client, "items", n=count), 9, warm=2)
        rate = count / sample.median_s
        words = f"{rate:,.0f}/s, {sample.words}"
        name = f"{count:,} items / floor"
        figures.append(_at_least(name, words, f"{floor:,.0f}/s", rate / floor, limit))
    return figures


def many_runs(station: Workstation, dbos: Dbos) -> list[Figure]:
    """Count completed runs a second, 16 in flight."""
    clients = threading.local()

    def one(_: int) -> None:
        if not hasattr(clients, "own"):
            clients.own = Client()
        _run(clients.own, "noop")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(64)))
        sample = repeat(lambda: list(pool.map(one, range(200))), 7, warm=1)
    rate = 200 / sample.median_s
    floor = f"{dbos.runs_per_s:.0f}/s, {dbos.when}"
    words = f"{rate:.0f}/s, 200 in {sample.words}"
    return [_at_least("200 runs, 16 in flight / DBOS", words, floor, rate / dbos.runs_per_s, 3)]


def big_array(station: Workstation, _: Dbos) -> list[Figure]:
    """Time 100 MB from stage to stage."""
    before = rss_mib(station.pid)
    sample = repeat(lambda: _run(station.client, "array"), 9, warm=2)
    grown = rss_mib(station.pid) - before
    # In the daemon's own folder, and as for the daemon every array in a new file that stays.
    with TemporaryDirectory(dir=station.home) as folder:
        floor_s = floors.array_round_s(Path(folder))
    return [
        _at_most(
            "100 MB array / floor",
            sample.words,
            f"{floor_s * 1000:.0f} ms",
            sample.median_s / floor_s,
            1.5,
        ),
        _at_most("daemon growth by it, MiB", f"{grown:.1f}", "-", grown, 10),
    ]


def burning(station: Workstation, _: Dbos) -> list[Figure]:
    """Measure how well 8 items of half a second fill two slots."""
    alone = repeat(lambda: _run(station.client, "alone"), 5, warm=1).median_s
    whole = repeat(lambda: _run(station.client, "burn", n=8), 5, warm=1)
    ideal = alone * 8 / 2
    return [
        _at_least(
            "8 x 0.5 s on 2 slots, efficiency",
            whole.words,
            f"{ideal:.2f} s",
            ideal / whole.median_s,
            0.95,
        )
    ]


def start_and_idle() -> list[Figure]:
    """Time the start, then look at the idle daemon."""
    pairs = [(time_to_ready(), time_once(floors.import_fastapi_and_sqlmodel)) for _ in range(8)]
    # The first pair warms the file system.
    ready, floor = (Sample(tuple(column)) for column in zip(*pairs[1:], strict=True))
    with open_workstation() as station:
        _run(station.client, "noop")
        time.sleep(65)
        rss, children = rss_mib(station.pid), len(children_of(station.pid))
        used = cpu_seconds(station.pid)
        time.sleep(60)
        idle = (cpu_seconds(station.pid) - used) / 60 * 100
    return [
        _at_most(
            "start to ready / importing FastAPI and SQLModel",
            ready.words,
            floor.words,
            ready.median_s / floor.median_s,
            1.2,
        ),
        _at_most("idle memory, MiB", f"{rss:.0f}", "-", rss, 90),
        _at_most("children after 60 s idle", str(children), "-", children, 0),
        _at_most("idle CPU, % of a core", f"{idle:.2f}", "-", idle, 0.3),
    ]


def commands(station: Workstation, _: Dbos) -> list[Figure]:
    """Time whole commands against an interpreter that does nothing."""

    def command(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        whole = [sys.executable, "-m", "flowdapt", *arguments]
        return subprocess.run(whole, env=station.environment, check=True, capture_output=True)

    nothing = [sys.executable, "-c", "pass"]
    floor, shown, listed = interleave(
        [
            lambda: subprocess.run(nothing, check=True, env=os.environ),
            lambda: command("--help"),
            lambda: command("get", "runs"),
        ],
        15,
    )
    return [
        _at_most(
            "flowdapt --help / python -c pass",
            shown.words,
            floor.words,
            shown.median_s / floor.median_s,
            8,
        ),
        _at_most(
            "flowdapt get runs / python -c pass",
            listed.words,
            floor.words,
            listed.median_s / floor.median_s,
            20,
        ),
    ]


FIGURES = {
    "run": one_run,
    "chain": chain,
    "items": items,
    "array": big_array,
    "burn": burning,
    "runs": many_runs,
    "commands": commands,
}
