"""A log of 1,000,000 lines in the workstation: from the key to its end on screen, from `/` to the match.

The app draws without a terminal; the daemon, its socket and the files are real.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from benchmarks.figure import Figure
from benchmarks.timing import Sample, now
from benchmarks.workstation import Workstation, open_workstation
from flowdapt.domain.task import LogLine
from flowdapt.paths import find_paths
from flowdapt.stores.log_files import Entry, LogFiles
from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.main import new_app
from flowdapt.tui.screens.run_detail import RunDetail
from flowdapt.tui.widgets.log import LogView

__all__ = ["tui_logs"]

_LINES = 1_000_000
_BATCH = 50_000
_TIMES = 7
_CAP_BYTES = 1 << 40
_SIZE = (140, 40)
# One match, found at the start, in the middle, at the end; and none, which reads all of it twice.
_SOUGHT = {"start": 1_000, "middle": 500_000, "end": 999_999}


def tui_logs() -> list[Figure]:
    """Measure opening and searching."""
    with open_workstation() as station:
        run = station.client.run("noop", {})
        _write(find_paths(station.environment).data / "values" / run.uid)
        opened, found, nothing = asyncio.run(_measure(station, run.uid))
    return [
        _figure("TUI, log of 1,000,000 lines opens, s", opened, 0.5),
        *(_figure(f"TUI, search finds a line at the {place}, s", sample, 1.0) for place, sample in found.items()),
        _figure("TUI, search finds that there is none, s", nothing, 1.0),
    ]  # fmt: skip


def _figure(name: str, sample: Sample, target: float) -> Figure:
    value = sample.median_s
    return Figure(name, sample.words, "-", value, f"<= {target:g}", value <= target)


def _write(folder: Path) -> None:
    """Lengthen the log of a run that has ended: no writer has it open."""
    files = LogFiles(folder)
    for start in range(files.count, _LINES, _BATCH):
        stop = min(start + _BATCH, _LINES)
        lines = [_line(number) for number in range(start + 1, stop + 1)]
        files.append([Entry("only", 1, line) for line in lines], cap_bytes=_CAP_BYTES)


def _line(number: int) -> LogLine:
    level = "warning" if number % 50 == 0 else "info"
    text = f"epoch {number // 1000} step {number % 1000}: loss={1 / number:.7f} id={number:09d}"
    return LogLine(1.7e9 + number / 1000, "stdout", level, text)


async def _measure(station: Workstation, run: str) -> tuple[Sample, dict[str, Sample], Sample]:
    paths = find_paths(station.environment)
    app = new_app(f"unix://{paths.socket}", config=paths.config_file, view="runs", autostart=False)
    async with app.run_test(size=_SIZE) as pilot:
        await _until(pilot, lambda: bool(app.view and app.view.table and app.view.table.rows))
        opened = [await _open(app, pilot, run) for _ in range(_TIMES)]
        found = {
            place: Sample(tuple([await _search(app, pilot, number) for _ in range(_TIMES)]))
            for place, number in _SOUGHT.items()
        }
        nothing = [await _search(app, pilot, None) for _ in range(_TIMES)]
    return Sample(tuple(opened[1:])), found, Sample(tuple(nothing))


async def _open(app: FlowdaptApp, pilot: Pilot[Any], run: str) -> float:
    """Return the seconds from the key to the last line on screen; leave the log open."""
    if isinstance(app.screen, RunDetail):
        await pilot.press("escape")
    began = now()
    app.open_detail("run", run, "logs")
    await _until(pilot, lambda: _last(app) == _LINES)
    return now() - began


def _last(app: FlowdaptApp) -> int:
    found = list(app.screen.query(LogView).results(LogView))
    return found[0].lines[-1].number if found and found[0].lines else 0


async def _search(app: FlowdaptApp, pilot: Pilot[Any], number: int | None) -> float:
    """Return the seconds from the enter key to the match under the cursor, or to the answer that there is none."""
    page = app.screen
    assert isinstance(page, RunDetail)
    await page.filtered("")
    await pilot.press("G")
    await _until(pilot, lambda: page.query_one(LogView).follows)
    sought = "id=nobody" if number is None else f"id={number:09d}$"
    began = now()
    await page.filtered(sought)
    view = page.query_one(LogView)
    if number is not None:
        await _until(pilot, lambda: view.current is not None and view.current.number == number)
    return now() - began


async def _until(pilot: Pilot[Any], probe: Callable[[], bool]) -> None:
    deadline = now() + 30
    while not probe():
        assert now() < deadline
        await asyncio.sleep(0.001)
