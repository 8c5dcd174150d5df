"""What is asked over a screen, and the pages about one thing, held to committed pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.tui.fake import FakeDaemon, a_run, new_app, stamp
from tests.tui.furnished import furnish, resource
from tests.tui.snapshots import SIZES, look
from tests.tui.waiting import still, text_of, until

Steps = Callable[[Any], Awaitable[None]]


async def list_is_there(pilot: Any) -> None:
    table = pilot.app.view.table
    await until(pilot, lambda: table.rows and pilot.app.link.live)


def keys(*pressed: str) -> Steps:
    async def press(pilot: Any) -> None:
        await list_is_there(pilot)
        await pilot.press(*pressed[:-1])
        # What is covered next must not be half read.
        await still(pilot)
        await pilot.press(pressed[-1])

    return press


async def to_record(pilot: Any) -> None:
    await list_is_there(pilot)
    for words in (("run", "train", "--input", "epochs=5"), ("runs", "cancel", "quiet-otter-0004"),
                  ("trigger", "fire", "nightly"), ("use", "lab", "--keep-going")):  # fmt: skip
        pilot.app.record.add(pilot.app.now(), *words)
    await still(pilot)
    await pilot.press("ctrl+l")


SCENES: dict[str, tuple[str, Steps, str]] = {
    "confirm": ("runs", keys("j", "j", "j", "x"), "Cancel quiet-otter-0004?"),
    "typed-confirm": ("runs", keys("ctrl+a", "D"), "Delete 3 runs?"),
    "choose-executor": ("pulse", keys("@"), "Which executor from now on?"),
    "checks": ("executors", keys("j", "u"), "failed its checks"),
    "revisions": ("configs", keys("="), "revision 2 to 3"),
    "why-run": ("runs", keys("j", "w"), "Why is quiet-otter-0002 failed?"),
    "why-executor": ("executors", keys("w"), "Why is local ready?"),
    "why-rule": ("triggers", keys("j", "w"), "Why is on_drift paused?"),
    "retry-form": ("runs", keys("j", "R"), "Retry quiet-otter-0002"),
    "record": ("runs", to_record, "What was done here"),
    "workflow": ("workflows", keys("enter"), "LAST RUNS"),
    "trigger": ("triggers", keys("enter"), "DECIDED"),
    "artifact": ("artifacts", keys("enter"), "COLUMNS"),
}


def furnish_questions(daemon: FakeDaemon) -> None:
    """Add what the questions of the scenes are about."""
    furnish(daemon)
    stages = [
        {"name": "cities", "type": "simple", "state": "finished", "attempt": 1},
        {"name": "fetch", "type": "parameterized", "state": "finished", "attempt": 1},
        {"name": "fit", "type": "simple", "state": "failed", "attempt": 1},
    ]
    daemon.runs[1] |= {"input": {"epochs": 5, "mode": "exact"}, "stages": stages}
    for at in (0, 2):
        daemon.runs[at] = a_run(at + 1, workflow=daemon.runs[at]["workflow"], stages=stages[:2])
    daemon.on("GET", "/api/v1/runs/[^/]+/explain", {"items": [
        {"subject": "run quiet-otter-0002", "code": "run.failed", "message": "stage fit failed: the input holds NaN in column 3", "fix": "flowdapt runs retry quiet-otter-0002"},
        {"subject": "stage fit", "code": "stage.failed", "message": "ValueError after 2 attempts, in train.py line 14", "fix": "flowdapt logs quiet-otter-0002 --stage fit"},
        {"subject": "stage report", "code": "stage.skipped", "message": "it needs fit, which failed", "fix": None},
    ]})  # fmt: skip
    findings = [
        {"what": "reach", "level": "ok", "words": "scheduler reachable 3 ms"},
        {"what": "workers", "level": "ok", "words": "6 workers, 24 cpu, 2 gpu"},
        {"what": "plugin", "level": "failed", "words": "plugin nowcast 0.4.1 here, 0.3.9 on 2 of 6 workers", "code": "executor.plugin_skew", "fix": "install nowcast 0.4.1 there"},
        {"what": "needs", "level": "warning", "words": "workflow paperboy asks gpus=4, lab has 2: it would wait for ever"},
    ]  # fmt: skip
    checked = {"name": "lab", "passed": False, "findings": findings, "took_s": 0.1}
    daemon.on("POST", "/api/v1/executors/lab/check", checked)
    newer = {"selector": {"type": "all"}, "data": {"trees": 200, "depth": 9}}
    older = {"selector": {"type": "all"}, "data": {"trees": 100, "shuffle": True}}
    revisions = [resource("config", "main", newer), resource("config", "main", older)]
    for number, one in zip((3, 2), revisions, strict=True):
        one["metadata"] |= {"uid": f"{number:08d}", "revision": number, "updated_at": stamp(number)}

    def config(request: Any, _: Any) -> Any:
        return revisions[dict(request.query).get("revision") == "2"]

    daemon.on("GET", "/api/v1/configs/main/revisions", {"items": revisions})
    daemon.on("GET", "/api/v1/configs/main", config)
    daemon.on("GET", "/api/v1/triggers/nightly", resource("trigger_rule", "nightly", {"type": "schedule", "rule": "0 3 * * *"}))  # fmt: skip


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", SCENES)
async def test_questions_and_pages_look_as_committed(
    daemon: FakeDaemon, scene: str, size: str, theme: str, update_snapshots: bool
) -> None:
    view, steps, shows = SCENES[scene]
    furnish_questions(daemon)
    async with new_app(daemon, view, theme=theme).run_test(size=SIZES[size]) as pilot:
        await steps(pilot)
        await until(pilot, lambda: shows in text_of(pilot) or view == "workflows")
        await look(pilot, f"{scene}-{size}-{theme}", update=update_snapshots)
