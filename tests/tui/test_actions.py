"""What is done to things: it is asked for first, refusals stay where they are read, all is on the record."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowdapt.client.wire import Request
from flowdapt.domain.errors import InvalidInput, Problem
from flowdapt.tui.screens.actions.documents import problem_words
from tests.tui.fake import FakeDaemon, a_run, new_app, refusal
from tests.tui.furnished import furnish, resource, rule
from tests.tui.snapshots import SIZES, compare
from tests.tui.waiting import lines_of, still, text_of, until

SCHEMA = {
    "type": "object",
    "properties": {
        "epochs": {"type": "integer", "default": 5, "description": "how often all data are seen"},
        "mode": {"enum": ["fast", "exact"]},
        "verbose": {"type": "boolean"},
    },
    "required": ["mode"],
    "additionalProperties": False,
}


EditedBy = Callable[[str], Any]


@pytest.fixture
def edited_by(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> EditedBy:
    """Return what makes an app on the configs whose editor is a line of shell, the file being "$1"."""

    def make(line: str) -> Any:
        editor = tmp_path / "editor.sh"
        editor.write_text(f"#!/bin/sh\n{line}\n")
        editor.chmod(0o755)
        monkeypatch.setenv("EDITOR", str(editor))
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        app = new_app(daemon, "configs")
        monkeypatch.setattr(app, "suspend", contextlib.nullcontext)
        return app

    return make


def acts(app: Any) -> list[str]:
    return [act.command for act in app.record.acts]


def with_schema(daemon: FakeDaemon) -> None:
    furnish(daemon)
    train = resource("workflow", "train", {"input_schema": SCHEMA, "stages": []})
    daemon.on("GET", "/api/v1/workflows/[^/]+", train)


async def to_run_form(pilot: Any) -> None:
    await until(pilot, lambda: len(pilot.app.view.table.rows) == 3)
    await pilot.press("G", "r")
    await until(pilot, lambda: "Run train" in text_of(pilot))


async def test_a_run_is_started_from_a_form_made_of_the_schema(daemon: FakeDaemon) -> None:
    with_schema(daemon)
    sent: list[Any] = []

    def started(request: Request, _: Any) -> Any:
        sent.append(json.loads(request.body))
        return a_run(77, "running", workflow="train")

    daemon.on("POST", "/api/v1/workflows/train/runs", started)
    app = new_app(daemon, "workflows")
    async with app.run_test(size=(100, 40)) as pilot:
        await to_run_form(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "it is required" in text_of(pilot))
        assert sent == []
        await pilot.press(*"exact", "ctrl+s")
        await until(pilot, lambda: bool(sent))
        assert sent[0]["input"] == {"epochs": 5, "mode": "exact"}
        assert acts(app) == ["flowdapt run train --input epochs=5 --input mode=exact"]


async def test_what_the_daemon_refuses_stands_at_its_field_and_nothing_typed_is_lost(
    daemon: FakeDaemon,
) -> None:
    with_schema(daemon)
    keys: list[str | None] = []

    def refuse(request: Request, _: Any) -> Any:
        keys.append(dict(request.headers).get("idempotency-key"))
        answer = refusal(422, "run.invalid_input", "the input does not fit")
        body = json.loads(answer.body) | {
            "errors": [{"loc": ["epochs"], "msg": "at most 3", "code": "x"}]
        }
        return type(answer)(422, answer.headers, json.dumps(body).encode())

    daemon.on("POST", "/api/v1/workflows/train/runs", refuse)
    async with new_app(daemon, "workflows").run_test(size=(100, 40)) as pilot:
        await to_run_form(pilot)
        await pilot.press("tab", *"fast", "ctrl+s")
        await until(pilot, lambda: "at most 3" in text_of(pilot))
        assert "fast" in text_of(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(keys) == 2)
        assert keys[0] == keys[1] is not None, "the same attempt, sent again"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_the_form_looks_right(
    daemon: FakeDaemon, theme: str, size: str, update_snapshots: bool
) -> None:
    with_schema(daemon)
    app = new_app(daemon, "workflows", theme=theme)
    async with app.run_test(size=SIZES[size]) as pilot:
        await to_run_form(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "it is required" in text_of(pilot))
        await still(pilot)
        compare(app, f"run-form-{theme}-{size}", update=update_snapshots)


async def test_a_cancel_is_asked_for_and_only_open_runs_are_meant(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "running"), a_run(2, "finished"), a_run(3, "queued")]
    daemon.on("POST", "/api/v1/runs/[^/]+/cancel", daemon.runs[0])
    app = new_app(daemon)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 3)
        await pilot.press("ctrl+a", "x")
        await until(pilot, lambda: "Cancel 2 runs?" in text_of(pilot))
        await pilot.press("n")
        assert daemon.asked_for("POST", ".*cancel") == []
        await pilot.press("x")
        await until(pilot, lambda: "Cancel 2 runs?" in text_of(pilot))
        await pilot.press("y")
        await until(pilot, lambda: len(daemon.asked_for("POST", ".*cancel")) == 2)
        await until(pilot, lambda: acts(app))
        assert acts(app) == ["flowdapt runs cancel quiet-otter-0001 quiet-otter-0003"]


async def test_an_ended_run_cannot_be_cancelled_and_the_key_says_so(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "failed")]
    async with new_app(daemon).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: pilot.app.view.table.rows)
        await pilot.press("x")
        await until(pilot, lambda: "it has ended: failed" in text_of(pilot))


async def test_many_deletions_need_their_number_typed_and_refusals_are_summed_up(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(number) for number in range(1, 9)]

    def delete(request: Request, found: re.Match[str]) -> Any:
        if found[1].endswith("3"):
            return refusal(409, "run.open", "it is open")
        return None

    daemon.on("DELETE", "/api/v1/runs/([^/]+)", delete)
    app = new_app(daemon)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 8)
        await pilot.press("ctrl+a", "D")
        await until(pilot, lambda: "Delete 8 runs?" in text_of(pilot))
        await pilot.press("y", "enter")
        assert daemon.asked_for("DELETE", ".*") == []
        await pilot.press("backspace", "8", "enter")
        await until(pilot, lambda: len(daemon.asked_for("DELETE", ".*")) == 8)
        await until(pilot, lambda: "deleted 7 of 8; refused:" in text_of(pilot))


async def test_a_retry_takes_an_edited_input_from_the_start_and_else_what_failed(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(1, "failed", input={"a": 1})]
    sent: list[Any] = []

    def retried(request: Request, _: Any) -> Any:
        sent.append(json.loads(request.body))
        return a_run(9, "running")

    daemon.on("POST", "/api/v1/runs/[^/]+/retry", retried)
    app = new_app(daemon)
    async with app.run_test(size=(100, 40)) as pilot:
        for edited in (False, True):
            await until(pilot, lambda: pilot.app.view.table and pilot.app.view.table.rows)
            await pilot.press("R")
            await until(pilot, lambda: "Retry quiet-otter-0001" in text_of(pilot))
            if edited:
                area = pilot.app.screen.query_one("#form-json")
                area.text = '{"a": 2}'
            await pilot.press("ctrl+s")
            await until(pilot, lambda edited=edited: len(sent) == 1 + edited)
            await pilot.press("escape")
        assert sent == [{"start_from": "failed"}, {"input": {"a": 2}}]
        retry = "flowdapt runs retry quiet-otter-0001"
        assert acts(app) == [retry, f"{retry} --input a=2"]


@pytest.mark.parametrize("size", [(80, 24), (40, 10)])
async def test_a_form_in_a_small_terminal_still_says_how_it_is_taken_and_left(
    daemon: FakeDaemon, size: tuple[int, int]
) -> None:
    daemon.runs = [a_run(1, "failed", input={"a": 1, "b": 2, "c": 3})]
    async with new_app(daemon).run_test(size=size) as pilot:
        await until(pilot, lambda: pilot.app.view.table and pilot.app.view.table.rows)
        await pilot.press("R")
        await until(pilot, lambda: "Retry quiet" in text_of(pilot))
        await until(pilot, lambda: "ctrl+s take it" in text_of(pilot))


async def test_an_edit_is_shown_before_it_counts(daemon: FakeDaemon, edited_by: EditedBy) -> None:
    furnish(daemon)
    config = resource("config", "main", {"selector": {"type": "all"}, "data": {"trees": 100}})
    daemon.on("GET", "/api/v1/configs/main", config)
    applied: list[bool] = []

    def apply(request: Request, _: Any) -> Any:
        dry = dict(request.query).get("dry_run") in {"true", "True"}
        applied.append(dry)
        diff = "--- main\n+++ main\n@@ -1 +1 @@\n-  trees: 100\n+  trees: 200"
        item = {"kind": "config", "name": "main", "action": "updated", "revision": 4, "diff": diff}
        return {"items": [item]}

    daemon.on("POST", "/api/v1/apply", apply)
    app = edited_by("sed -i 's/100/200/' \"$1\"")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("e")
        await until(pilot, lambda: "+  trees: 200" in text_of(pilot))
        assert applied == [True]
        await pilot.press("y")
        await until(pilot, lambda: applied == [True, False])
        await until(pilot, lambda: acts(app) == ["flowdapt edit config main"])


async def test_what_was_typed_stays_in_a_file_when_it_is_not_stored(
    daemon: FakeDaemon, edited_by: EditedBy, tmp_path: Path
) -> None:
    furnish(daemon)
    daemon.on("GET", "/api/v1/configs/main", resource("config", "main", {"data": {}}))
    daemon.on("POST", "/api/v1/apply", lambda *_: refusal(422, "document.invalid", "no such field"))
    app = edited_by("echo 'more: words' >> \"$1\"")
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("e")
        await until(pilot, lambda: "no such field" in text_of(pilot))
        await pilot.press("n")
        await until(pilot, lambda: "your text is in" in text_of(pilot))
    (kept,) = tmp_path.glob("flowdapt-config-main-*.yaml")
    assert "more: words" in kept.read_text()


async def test_a_document_with_one_fault_is_refused_in_the_words_of_that_fault_alone(
    daemon: FakeDaemon, edited_by: EditedBy
) -> None:
    furnish(daemon)
    daemon.on("GET", "/api/v1/configs/main", resource("config", "main", {"data": {}}))
    answer = refusal(400, "document.invalid_yaml", "this is not YAML")
    body = json.loads(answer.body) | {
        "errors": [{"msg": "this is not YAML", "code": "x", "line": 13}]
    }
    refused = type(answer)(400, answer.headers, json.dumps(body).encode())
    daemon.on("POST", "/api/v1/apply", lambda *_: refused)
    app = edited_by("echo 'more: [' >> \"$1\"")
    async with app.run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("e")
        await until(pilot, lambda: "line 13: this is not YAML" in text_of(pilot))
        assert text_of(pilot).count("not YAML") == 1


def test_each_fault_of_a_document_says_where_and_what_was_meant() -> None:
    faults = [
        Problem("c", "no such field", ("spec", "stges"), "stages", line=7),
        Problem("c", "it is empty"),
    ]
    assert problem_words(InvalidInput("two faults", problems=faults)) == [
        "line 7: spec.stges: no such field   did you mean stages?",
        "it is empty",
    ]


async def test_a_switch_shows_its_checks_the_failed_first(daemon: FakeDaemon) -> None:
    furnish(daemon)
    findings = [
        {"what": "reach", "level": "ok", "words": "scheduler reachable 3 ms"},
        {"what": "plugin", "level": "failed", "words": "plugin nowcast 0.4.1 here, 0.3.9 on 2 of 6 workers", "code": "executor.plugin_skew", "fix": "install nowcast 0.4.1 there"},
    ]  # fmt: skip
    checked = {"name": "lab", "passed": False, "findings": findings, "took_s": 0.1}
    daemon.on("POST", "/api/v1/executors/lab/check", checked)
    sent: list[Any] = []

    def switched(request: Request, _: Any) -> Any:
        sent.append(json.loads(request.body))
        return {"switched": True, "active": "lab", "previous": "local", "pinned": {"local": 1}, "findings": findings}  # fmt: skip

    daemon.on("PUT", "/api/v1/active-executor", switched)
    app = new_app(daemon, "executors")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 2)
        await pilot.press("j", "u")
        await until(pilot, lambda: "failed its checks" in text_of(pilot))
        shown = [one for one in lines_of(pilot) if "nowcast" in one or "reachable" in one]
        assert "nowcast" in shown[0]
        await pilot.press("y")
        await until(pilot, lambda: "now: lab" in text_of(pilot))
        assert sent[0]["keep_going"] is True
        assert acts(app) == ["flowdapt use lab --keep-going"]


async def test_the_way_home_shows_its_checks_before_it_is_gone(daemon: FakeDaemon) -> None:
    furnish(daemon)
    findings = [{"what": "open", "level": "ok", "words": "it opened in 0.1 s"}]
    checked = {"name": "local", "passed": True, "findings": findings, "took_s": 0.1}
    daemon.on("POST", "/api/v1/executors/-/check", checked)
    sent: list[Any] = []

    def switched(request: Request, _: Any) -> Any:
        sent.append(json.loads(request.body)["name"])
        return {"switched": True, "active": "local", "previous": "lab", "pinned": {}, "findings": findings}  # fmt: skip

    daemon.on("PUT", "/api/v1/active-executor", switched)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("colon", *"use -", "enter")
        await until(pilot, lambda: "Use local from now on?" in text_of(pilot))
        assert "it opened in 0.1 s" in text_of(pilot)
        assert sent == []
        await pilot.press("y")
        await until(pilot, lambda: "now: local" in text_of(pilot))
        assert sent == ["local"]
        assert acts(app) == ["flowdapt use local"]


async def test_a_rule_is_paused_and_let_go_on(daemon: FakeDaemon) -> None:
    furnish(daemon)
    asked: list[str] = []

    def change(request: Request, found: re.Match[str]) -> Any:
        asked.append(f"{found[1]} {found[2]}")
        return rule("nightly", "paused")

    daemon.on("POST", "/api/v1/triggers/([^/]+)/(pause|resume)", change)
    app = new_app(daemon, "triggers")
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 3)
        await pilot.press("p")
        await until(pilot, lambda: asked == ["nightly pause"])
        await pilot.press("j", "p")
        await until(pilot, lambda: asked == ["nightly pause", "on_drift resume"])


async def test_a_rule_is_tried_on_a_past_event_and_the_false_clause_is_seen(
    daemon: FakeDaemon,
) -> None:
    furnish(daemon)
    clause = {"text": "all of", "held": False, "children": [
        {"text": "type eq x", "held": True}, {"text": "data.drift gt 0.3", "held": False, "reason": "it is 0.1"},
    ]}  # fmt: skip
    found = {
        "rule": "on_drift",
        "type": "condition",
        "holds": False,
        "fires": False,
        "clause": clause,
    }
    daemon.on("POST", "/api/v1/triggers/on_drift/test", found)
    app = new_app(daemon, "triggers")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 3)
        await pilot.press("j", "t")
        await until(pilot, lambda: "on which event?" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "would not fire" in text_of(pilot))
        assert "✖ data.drift gt 0.3   it is 0.1" in text_of(pilot)


async def test_a_rule_of_times_that_is_tried_says_when_it_is_due_and_what_it_would_do(
    daemon: FakeDaemon,
) -> None:
    furnish(daemon)
    found = {
        "rule": "nightly", "type": "schedule", "holds": False, "fires": False,
        "next_at": "2026-11-25T03:00:00Z",
        "actions": [{"target": "run_workflow", "parameters": {"workflow": "train"}}],
    }  # fmt: skip
    daemon.on("POST", "/api/v1/triggers/nightly/test", found)
    async with new_app(daemon, "triggers").run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: len(pilot.app.view.table.rows) == 3)
        await pilot.press("t")
        await until(pilot, lambda: "nothing is due before 2026-11-25T03:00" in text_of(pilot))
        assert 'what it would do: run_workflow  {"workflow": "train"}' in text_of(pilot)


async def test_read_only_keeps_every_change_away(daemon: FakeDaemon) -> None:
    furnish(daemon)
    app = new_app(daemon, "triggers")
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 3)
        await pilot.press("!", "p", "f", "D", "e")
        await until(pilot, lambda: "read-only: ! allows changes" in text_of(pilot))
        assert not daemon.asked_for("POST", ".*")


async def test_a_lost_connection_tells_what_was_done_and_what_not(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number, "running") for number in range(1, 4)]
    app = new_app(daemon)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 3)
        await pilot.press("ctrl+a", "x")
        await until(pilot, lambda: "Cancel 3 runs?" in text_of(pilot))
        daemon.die()
        await pilot.press("y")
        await until(
            pilot,
            lambda: "cancelled 0 of 3, then the connection was lost" in text_of(pilot),
            within_s=20,
        )


async def test_all_that_a_filter_means_reaches_beyond_the_pages_that_are_loaded(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(number, "failed") for number in range(1, 1201)]
    daemon.runs += [a_run(number) for number in range(1201, 1300)]
    daemon.on("POST", "/api/v1/runs/[^/]+/retry", a_run(5000, "queued"))
    app = new_app(daemon)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("slash", *"state=failed", "enter")
        await until(pilot, lambda: "state=failed" in lines_of(pilot)[0])
        loaded = len(app.view.table.rows)
        assert loaded < 1200
        await pilot.press("ctrl+a", "R")
        await until(pilot, lambda: f"the {loaded} that are loaded" in text_of(pilot))
        await pilot.press("j", "enter")
        await until(pilot, lambda: "Retry 1,200 runs" in text_of(pilot))
        await pilot.press("y")
        retried = lambda: daemon.asked_for("POST", ".*/retry")  # noqa: E731 - a probe
        await until(pilot, lambda: len(retried()) == 1200, within_s=30)
        assert {one.path for one in retried()} == {
            f"/api/v1/runs/{run['uid']}/retry" for run in daemon.runs[:1200]
        }
        await until(pilot, lambda: "retried 1200" in text_of(pilot))


@pytest.mark.parametrize(
    ("key", "verb", "done"), [("x", "cancel", "cancelled"), ("R", "retry", "retried")]
)
async def test_what_was_refused_stays_marked_and_off_the_record(
    daemon: FakeDaemon, key: str, verb: str, done: str
) -> None:
    state = "running" if verb == "cancel" else "failed"
    daemon.runs = [a_run(number, state) for number in range(1, 5)]

    def change(request: Request, found: re.Match[str]) -> Any:
        if found[1].endswith("2"):
            return refusal(409, "run.state", "it is not as it was")
        return daemon.runs[0]

    daemon.on("POST", f"/api/v1/runs/([^/]+)/{verb}", change)
    app = new_app(daemon)
    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 4)
        await pilot.press("ctrl+a", key)
        await until(pilot, lambda: "4 runs" in text_of(pilot))
        await pilot.press("y")
        await until(pilot, lambda: f"{done} 3 of 4; refused:" in text_of(pilot))
        await until(pilot, lambda: app.view.table.marks == {f"{2:032x}"})
        assert "quiet-otter-0002" not in acts(app)[0]
        assert "quiet-otter-0003" in acts(app)[0]


async def edit_over_a_newer_revision(
    daemon: FakeDaemon, edited_by: EditedBy, *, when: str
) -> tuple[Any, list[str]]:
    """Prepare an edit of revision 3, which somebody stores as revision 4 meanwhile."""
    furnish(daemon)
    spec = {"selector": {"type": "all"}, "data": {"trees": 100}}
    theirs = resource("config", "main", {"selector": {"type": "all"}, "data": {"depth": 9}})
    theirs["metadata"]["revision"] = 4
    known = {"newest": resource("config", "main", spec)}
    stored: list[str] = []

    def get(request: Request, _: Any) -> Any:
        return (
            resource("config", "main", spec)
            if dict(request.query).get("revision") == "3"
            else known["newest"]
        )

    def apply(request: Request, _: Any) -> Any:
        dry = dict(request.query).get("dry_run") in {"true", "True"}
        text = request.body.decode()
        if when == ("looking" if not dry else "editing") or known["newest"] is theirs:
            known["newest"] = theirs
            if '"revision": 4' not in text and "revision: 4" not in text:
                return refusal(412, "resource.stale", "it has revision 4 now")
        if not dry:
            stored.append(text)
        diff = "@@ -1 +1 @@\n-  depth: 9\n+  trees: 200"
        return {
            "items": [
                {"kind": "config", "name": "main", "action": "updated", "revision": 5, "diff": diff}
            ]
        }

    daemon.on("GET", "/api/v1/configs/main", get)
    daemon.on("POST", "/api/v1/apply", apply)
    app = edited_by("sed -i 's/100/200/' \"$1\"")
    return app, stored


@pytest.mark.parametrize("when", ["editing", "looking"])
async def test_an_edit_of_what_somebody_else_changed_offers_theirs_and_yours(
    daemon: FakeDaemon, edited_by: EditedBy, tmp_path: Path, when: str
) -> None:
    app, stored = await edit_over_a_newer_revision(daemon, edited_by, when=when)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("e")
        if when == "looking":
            await until(pilot, lambda: "Store config main" in text_of(pilot))
            await pilot.press("y")
        await until(pilot, lambda: "Whose counts?" in text_of(pilot))
        await pilot.press("G", "j", "j", "enter")
        await until(pilot, lambda: "revision 3 to 4" in text_of(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "Whose counts?" in text_of(pilot))
        await pilot.press("j", "enter")
        await until(pilot, lambda: "Store config main as revision 5?" in text_of(pilot))
        assert stored == []
        await pilot.press("y")
        await until(pilot, lambda: len(stored) == 1)
        assert "trees: 200" in stored[0]
    assert list(tmp_path.glob("*.yaml")) == []


async def test_an_edit_that_leaves_theirs_keeps_yours_in_a_file(
    daemon: FakeDaemon, edited_by: EditedBy, tmp_path: Path
) -> None:
    app, stored = await edit_over_a_newer_revision(daemon, edited_by, when="editing")
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("e")
        await until(pilot, lambda: "Whose counts?" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: "your text is in" in text_of(pilot))
    (kept,) = tmp_path.glob("flowdapt-config-main-*.yaml")
    assert "trees: 200" in kept.read_text()
    assert stored == []
