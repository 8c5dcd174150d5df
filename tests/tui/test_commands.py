"""Commands that name what they act on: from every screen, with completion, and with the questions of the keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowdapt.client.wire import Request
from flowdapt.tui.commands import complete
from flowdapt.tui.names import files_that_begin
from tests.tui.fake import FakeDaemon, a_run, new_app
from tests.tui.furnished import fire, furnish, resource
from tests.tui.test_actions import acts
from tests.tui.waiting import text_of, until


def said(app: Any) -> str:
    """Return what was told in passing, before it is broken into lines."""
    return " ".join(one.message for one in app._notifications)


async def type_command(pilot: Any, text: str) -> None:
    await pilot.press("colon")
    await until(pilot, lambda: pilot.app.view.prompt.display)
    pilot.app.view.prompt.value = text
    await pilot.press("enter")


async def test_names_are_completed_with_what_the_daemon_knows(daemon: FakeDaemon) -> None:
    furnish(daemon)
    app = new_app(daemon, "system")
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("colon")
        await until(pilot, lambda: app.names.of("workflow") and app.names.of("run"))
        await until(pilot, lambda: app.names.of("trigger") and app.names.of("executor"))
        assert complete("run tr", app) == ["run train"]
        assert complete("fire ", app) == ["fire nightly", "fire on_drift", "fire old"]
        assert complete("use l", app) == ["use local", "use lab"]
        assert complete("cancel ", app) == ["cancel quiet-otter-0004", "cancel quiet-otter-0005"]
        assert "retry quiet-otter-0004" not in complete("retry ", app)
        await pilot.press(*"run tr", "tab")
        await until(pilot, lambda: app.view.prompt.value == "run train")


async def test_a_workflow_is_run_by_its_name_from_any_screen(daemon: FakeDaemon) -> None:
    furnish(daemon)
    daemon.on("GET", "/api/v1/workflows/train", resource("workflow", "train", {"stages": []}))
    started: list[Any] = []

    def start(request: Request, _: Any) -> Any:
        started.append(json.loads(request.body))
        return a_run(77, "running", workflow="train")

    daemon.on("POST", "/api/v1/workflows/train/runs", start)
    app = new_app(daemon, "pulse")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.link.live)
        await type_command(pilot, "run train")
        await until(pilot, lambda: "Run train" in text_of(pilot))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(started))
        await until(pilot, lambda: acts(app) == ["flowdapt run train"])


@pytest.mark.parametrize(
    ("line", "shows"),
    [
        ("cancel quiet-otter-0004", "Cancel quiet-otter-0004?"),
        ("cancel quiet-otter-0001", "it has ended: finished"),
        ("retry quiet-otter-0002", "Retry quiet-otter-0002"),
        ("retry quiet-otter-0004", "it is running: cancel it first"),
        ("why quiet-otter-0002", "Why is quiet-otter-0002 failed?"),
        ("why nobody", "there is no run 'nobody'"),
        ("cancel", "cancel what?"),
        ("run", "run what?"),
    ],
)
async def test_runs_are_acted_on_by_name_with_the_questions_of_the_keys(
    daemon: FakeDaemon, line: str, shows: str
) -> None:
    furnish(daemon)
    reason = {"subject": "run x", "code": "run.failed", "message": "stage fit failed", "fix": None}
    daemon.on("GET", "/api/v1/runs/[^/]+/explain", {"items": [reason]})
    app = new_app(daemon, "system")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await type_command(pilot, line)
        await until(pilot, lambda: shows in f"{text_of(pilot)} {said(app)}")
        assert not daemon.asked_for("POST", "/api/v1/runs/.*")


async def test_a_rule_is_fired_by_name(daemon: FakeDaemon) -> None:
    furnish(daemon)
    daemon.on("POST", "/api/v1/triggers/nightly/fire", fire(9, "skipped", reason="overlap"))
    app = new_app(daemon, "pulse")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await type_command(pilot, "fire nightly")
        await until(pilot, lambda: "Fire nightly now?" in text_of(pilot))
        await pilot.press("y")
        await until(pilot, lambda: "nightly: skipped, overlap" in text_of(pilot))
        assert acts(app) == ["flowdapt trigger fire nightly"]


async def test_the_executor_is_switched_from_every_screen(daemon: FakeDaemon) -> None:
    furnish(daemon)
    checked = {"name": "lab", "passed": True, "findings": [], "took_s": 0.1}
    daemon.on("POST", "/api/v1/executors/lab/check", checked)
    switched = {
        "switched": True,
        "active": "lab",
        "previous": "local",
        "pinned": {},
        "findings": [],
    }
    daemon.on("PUT", "/api/v1/active-executor", switched)
    app = new_app(daemon, "pulse")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("@")
        await until(pilot, lambda: "Which executor from now on?" in text_of(pilot))
        assert "active, 3 workers" in text_of(pilot)
        await pilot.press("j", "enter")
        await until(pilot, lambda: "Use lab from now on?" in text_of(pilot))
        await pilot.press("y")
        await until(pilot, lambda: "now: lab" in text_of(pilot))
        assert acts(app) == ["flowdapt use lab"]


async def test_read_only_holds_for_commands_too(daemon: FakeDaemon) -> None:
    furnish(daemon)
    app = new_app(daemon, "pulse", read_only=True)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        for line in (
            "run train",
            "cancel quiet-otter-0004",
            "use lab",
            "fire nightly",
            "apply x.yaml",
        ):
            await type_command(pilot, line)
            await until(pilot, lambda: "read-only: ! allows changes" in text_of(pilot))
            app.clear_notifications()
            await until(pilot, lambda: "read-only: ! allows changes" not in text_of(pilot))
        await pilot.press("@")
        await until(pilot, lambda: "read-only: ! allows changes" in text_of(pilot))
        assert not daemon.asked_for("POST|PUT", ".*")


def test_files_are_completed_by_their_beginning(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flow.yaml").touch()
    (tmp_path / "flow.py").touch()
    (tmp_path / ".hidden.yaml").touch()
    found = files_that_begin(f"{tmp_path}/flo")
    assert found == [f"{tmp_path}/flow.yaml", f"{tmp_path}/flows/"]
    assert files_that_begin(f"{tmp_path}/") == found
    assert files_that_begin(f"{tmp_path}/none/x") == []
