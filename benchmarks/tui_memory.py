"""Eight hours of a workstation that is left open, in a minute or two: what it grows by in an hour.

The real app in the headless driver, on a daemon that answers from memory and whose clock is ours. A process of
its own, so that nothing else is in its memory; `python -m benchmarks.tui_memory` prints what it was hour by hour.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

from benchmarks.figure import Figure
from benchmarks.timing import rss_mib

__all__ = ["tui_memory"]

_HOURS = 8
# In a simulated minute: runs that begin and end, and events of other sorts.
_RUNS, _OTHERS = 4, 52
_STORED = 500
_LIMIT = 1.0
# What a person does meanwhile, one thing every two minutes: views, a run, a page, lists sorted and sought in.
_HABITS = (
    ("1",), ("3", "j", "j"), ("enter", "tab", "tab"), ("escape",), ("3", "G", "g"), ("2", "j"), ("enter",),
    ("escape",), ("4",), ("5",), ("6",), ("7", "j"), ("8",), ("9",), ("0",), ("3", "s"), ("question_mark",),
    ("escape",), ("ctrl+p",), ("escape",), ("3", "w"), ("escape",), ("7", "p"), ("p",),
)  # fmt: skip


def tui_memory() -> list[Figure]:
    """Let it run and return by how much it grows in a simulated hour."""
    command = [sys.executable, "-m", "benchmarks.tui_memory"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    sizes: list[float] = told["rss_mib"]
    # The first hour opens every screen for the first time: what is loaded then stays.
    slope = statistics.linear_regression(range(1, _HOURS), sizes[1:]).slope
    words = f"{slope:.2f} ({' '.join(f'{one:.1f}' for one in sizes)} MiB; {told['events']:,} events, {told['runs']:,} runs, {told['keys']} keys)"
    name = f"TUI over {_HOURS} simulated hours, MiB an hour"
    return [Figure(name, words, "-", slope, f"<= {_LIMIT:g}", slope <= _LIMIT)]


class _Day:
    """A daemon at work, the clock, and the app that watches it."""

    def __init__(self) -> None:
        from flowdapt.tui.app import FlowdaptApp
        from flowdapt.tui.options import Options
        from tests.tui.fake import NOW, FakeDaemon
        from tests.tui.furnished import furnish

        self.now: datetime = NOW
        self.daemon = furnish(FakeDaemon())
        self.daemon.on("GET", "/api/v1/runs/[^/]+/explain", {"items": []})
        self.app = FlowdaptApp(
            lambda: self.daemon, options=Options(), now=lambda: self.now, first="pulse"
        )
        self.cursor, self.runs, self.keys = 100, 0, 0
        self._open: list[dict[str, Any]] = []

    def minute(self) -> None:
        """Let a minute go by: older runs end, new ones begin, others say something."""
        from tests.tui.fake import an_event

        self.now += timedelta(minutes=1)
        told = [an_event("workflow.workflow_finished", self._ended(run)) for run in self._open]
        self._open = [self._begun() for _ in range(_RUNS)]
        told += [an_event("workflow.workflow_started", run) for run in self._open]
        told += [
            an_event("mine.reading", number=at, pad=f"{self.cursor}-{at}" * 20)
            for at in range(_OTHERS)
        ]
        for event in told:
            self.cursor += 1
            event |= {"cursor": self.cursor, "id": f"e{self.cursor}", "time": self.now.isoformat()}
        self.daemon.runs = [*self._open, *self.daemon.runs][:_STORED]
        self.daemon.asked.clear()
        self.daemon.tell(*told)

    def _begun(self) -> dict[str, Any]:
        from tests.tui.fake import a_run

        self.runs += 1
        stamp = self.now.isoformat()
        made = a_run(10_000 + self.runs, "running", workflow=("train", "clean")[self.runs % 2])
        return made | {"created_at": stamp, "started_at": stamp}

    def _ended(self, run: dict[str, Any]) -> dict[str, Any]:
        failed = {"type": "ValueError", "message": f"no data for {run['name']}", "stage": "fit"}
        state = "failed" if self.runs % 3 == 0 else "finished"
        error = failed if state == "failed" else None
        run |= {
            "state": state,
            "finished_at": self.now.isoformat(),
            "duration_s": 60,
            "error": error,
        }
        return run


async def _watch() -> dict[str, Any]:
    """Go through the hours; return what the process took at the end of each."""
    day = _Day()
    sizes = []
    async with day.app.run_test(size=(140, 40)) as pilot:
        for minute in range(_HOURS * 60):
            day.minute()
            if minute % 2 == 0:
                keys = _HABITS[minute // 2 % len(_HABITS)]
                day.keys += len(keys)
                await pilot.press(*keys)
            # As long as the feed holds back what came before it tells it.
            await pilot.pause(0.12)
            if minute % 60 == 59:
                gc.collect()
                sizes.append(rss_mib(os.getpid()))
    assert day.app.faults == [], day.app.faults
    return {"rss_mib": sizes, "events": day.cursor - 100, "runs": day.runs, "keys": day.keys}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_watch())))
