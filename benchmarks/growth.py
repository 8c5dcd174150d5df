"""How costs grow: with 100,000 finished runs in the store, and with 100,000 items in one stage."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from benchmarks.figure import Figure
from benchmarks.timing import Sample, now, peak_rss_mib, rss_mib
from benchmarks.workstation import Workstation, open_workstation
from flowdapt.domain.events import EventDraft
from flowdapt.domain.names import new_run_name, new_uid
from flowdapt.domain.records import NewRun, RunChange, RunPatch, RunRecord, StageRecord
from flowdapt.domain.run import RunState, StageState, StageType
from flowdapt.domain.task import ValueRef
from flowdapt.services.clock import SystemClock
from flowdapt.stores.factory import create_store

__all__ = ["fill", "growth"]

_FEW, _MANY = 100, 100_000


def growth() -> list[Figure]:
    """Compare submitting and listing at both sizes, and watch the daemon's memory over a big map."""
    few, many = _costs(_FEW), _costs(_MANY)
    figures = []
    for what, small, large, limit in (
        ("submitting", few[0], many[0], 1.2),
        ("listing a page", few[1], many[1], 2.0),
    ):
        ratio = large.median_s / small.median_s
        name = f"{what} with {_MANY:,} finished runs / with {_FEW}"
        figures.append(
            Figure(name, large.words, small.words, ratio, f"<= {limit:g}", ratio <= limit)
        )
    grown = _memory_of_a_big_map()
    figures.append(
        Figure(
            "daemon growth by 100,000 items, MiB",
            f"{grown:.0f}",
            "-",
            grown,
            "<= 150",
            grown <= 150,
        )
    )
    return figures


def _costs(runs: int) -> tuple[Sample, Sample]:
    with open_workstation() as station:
        station.cli("down")
        trio.run(fill, station.home, runs)
        # What the filling left to be written must not slow down what is measured.
        os.sync()
        station.cli("up")
        submit, listing = [], []
        for _ in range(220):
            began = now()
            station.client.run("noop", wait=True)
            submit.append(now() - began)
            began = now()
            station.client.runs.list(limit=50)
            listing.append(now() - began)
    return Sample(tuple(submit[20:])), Sample(tuple(listing[20:]))


async def fill(home: Path, runs: int) -> None:
    """Store that many finished runs the way that real ones are stored."""
    database = next(home.rglob("flowdapt.db"))
    store = create_store("", data_dir=database.parent, clock=SystemClock())
    await store.open()
    async with trio.open_nursery() as nursery:
        for start in range(200):
            nursery.start_soon(_fill_some, store, range(start, runs, 200))
    await store.close()


async def _fill_some(store, numbers: range) -> None:  # type: ignore[no-untyped-def]
    clock = SystemClock()
    result = ValueRef("inline", "json", b"1", size_bytes=1)
    for number in numbers:
        uid, moment = new_uid(), clock.now()
        run = RunRecord(
            uid,
            new_run_name(uid),
            f"old{number % 20}",
            1,
            RunState.RUNNING,
            "api",
            "default",
            "local",
            '{"stages":[]}',
            "{}",
            ValueRef("inline", "json", b"{}"),
            moment,
            owner="filler",
            epoch=1,
            started_at=moment,
        )
        stage = StageRecord("only", 0, StageType.SIMPLE)
        event = EventDraft("com.event.workflow.workflow_started", f"run/{uid}", "{}")
        await store.submit(NewRun(run, [stage], [event]))
        stage.state, stage.started_at, stage.finished_at, stage.result = (
            StageState.FINISHED,
            moment,
            moment,
            result,
        )
        patch = RunPatch(
            RunState.FINISHED, None, False, moment, moment, result, None, release_owner=True
        )
        ended = EventDraft("com.event.workflow.workflow_finished", f"run/{uid}", "{}")
        await store.commit(RunChange(uid, 1, patch, [stage], events=[ended], first_seq=2))


def _memory_of_a_big_map() -> float:
    with open_workstation() as station:
        station.client.run("noop", wait=True)
        before = rss_mib(station.pid)
        _run_items(station, 100_000)
        return peak_rss_mib(station.pid) - before


def _run_items(station: Workstation, count: int) -> None:
    run = station.client.run("items", {"n": count}, wait=True)
    assert run.state == "finished"
