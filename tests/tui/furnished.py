"""A fake daemon with a bit of everything, for pictures and tests of the lists."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from tests.tui.fake import FakeDaemon, a_run, an_event, stamp

WORKFLOWS = ("clean", "evaluate", "train")


def resource(kind: str, name: str, spec: dict[str, Any], **annotations: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {
            "name": name, "annotations": annotations, "uid": f"{crc32(name.encode()):08x}", "revision": 3,
            "created_at": stamp(86400), "updated_at": stamp(7200),
        },
        "spec": spec,
    }  # fmt: skip


def _stages() -> list[dict[str, Any]]:
    return [
        {"name": "cities", "target": "plugin.stages.cities"},
        {"name": "fetch", "target": "plugin.stages.fetch", "type": "parameterized", "depends_on": ["cities"]},
        {"name": "fit", "target": "plugin.stages.fit", "depends_on": ["fetch"], "resources": {"cpus": 2, "gpus": 0.5}},
    ]  # fmt: skip


def fire(number: int, state: str, **more: Any) -> dict[str, Any]:
    return {
        "number": number, "rule": "nightly", "generation": 1, "kind": "schedule", "state": state,
        "fired_at": stamp(number * 3600), "runs": [],
    } | more  # fmt: skip


def rule(name: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "revision": 1, "type": "schedule", "state": state, "words": "at 03:00 every day", "timezone": "Europe/Berlin",
        "overlap": "forbid", "catch_up": "latest", "actions": ["run_workflow train"],
        "next_at": stamp(-7 * 3600) if state == "armed" else None, "last": fire(1, "started"), "failures": 0,
    } | more  # fmt: skip


def furnish(daemon: FakeDaemon) -> FakeDaemon:
    """Have the daemon tell of some workflows, configs, rules, executors, events, artifacts and plugins."""
    states = ("finished", "failed", "finished", "running", "queued")
    daemon.runs = [
        a_run(at + 1, state, workflow=WORKFLOWS[at % 3]) for at, state in enumerate(states)
    ]
    workflows = [
        resource("workflow", name, {"stages": _stages()}, group="nowcast") for name in WORKFLOWS
    ]
    configs = [
        resource(
            "config",
            "main",
            {
                "selector": {"type": "annotation", "value": {"group": "nowcast"}},
                "data": {"trees": 100},
            },
        ),
        resource("config", "orphan", {"selector": {"type": "name", "value": "gone"}, "data": {}}),
    ]
    rules = [
        rule("nightly", "armed"),
        rule("on_drift", "paused", type="condition", words="when data.drift is over 0.3", paused_at=stamp(300), paused_reason="ten failures in a row", last=fire(2, "failed", error="no workflow 'retrain'"), failures=10),
        rule("old", "broken", broken="it was stored by another version", last=None),
    ]  # fmt: skip
    for kind, items in (
        ("workflows", workflows),
        ("configs", configs),
        ("trigger-status", rules),
    ):
        daemon.on("GET", f"/api/v1/{kind}", {"items": items, "next": None})
    daemon.on(
        "GET", "/api/v1/(workflows|configs|triggers)/[^/]+/revisions", {"items": workflows[:1]}
    )
    for one in rules:
        daemon.on("GET", f"/api/v1/triggers/{one['name']}/status", one)
    daemon.on("GET", "/api/v1/triggers/[^/]+/fires", {"items": [fire(1, "started", runs=["a", "b"]), fire(2, "skipped", reason="overlap")], "next": None})  # fmt: skip
    outlook = {"words": "at 03:00 every day", "per_day": 1, "timezone": "Europe/Berlin", "next": [stamp(-7 * 3600)]}  # fmt: skip
    daemon.on("GET", "/api/v1/triggers/[^/]+/next", outlook)
    _executors(daemon)
    _events(daemon)
    _artifacts(daemon)
    daemon.on(
        "GET",
        "/api/v1/plugins",
        {
            "items": [
                {"name": "builtin", "version": "0.2.0", "enabled": True, "builtin": True, "provides": ["executor:local", "executor:dask", "action:log"]},
                {"name": "nowcast", "version": "0.4.1", "enabled": False, "builtin": False, "provides": [], "error": "its import failed: No module named 'xarray'"},
            ]
        },
    )  # fmt: skip
    return daemon


def _executors(daemon: FakeDaemon) -> None:
    local = {"name": "local", "kind": "local", "state": "ready", "active": True, "built_in": True, "slots": 4, "busy": 3, "waiting": 2, "cpus": 4, "workers": 3, "words": "3 workers"}  # fmt: skip
    lab = {"name": "lab", "kind": "dask", "state": "unavailable", "active": False, "options": {"address": "tls://10.0.0.5:8786"}, "slots": None, "workers": 0, "minimum": 1, "maximum": 6, "words": "the scheduler does not answer since 12 s, next try in 4 s", "runs": 1}  # fmt: skip
    daemon.on("GET", "/api/v1/executors", {"items": [local, lab]})
    workers = [{"name": f"local-{at}", "state": "busy" if at < 3 else "idle", "pid": 4000 + at, "rss_bytes": 52_000_000, "details": {}} for at in range(4)]  # fmt: skip
    daemon.on("GET", "/api/v1/executors/[^/]+/workers", {"items": workers})


def _events(daemon: FakeDaemon) -> None:
    run = daemon.runs[0]
    items = [
        an_event("resource.applied", cursor=1, name="train"),
        an_event("workflow.workflow_finished", run, cursor=2),
        an_event("trigger.fired", cursor=3, rule="on_drift", runs=[daemon.runs[1]["uid"]], event_cursor=2),
        an_event("workflow.workflow_started", daemon.runs[1], cursor=4),
        an_event("workflow.workflow_finished", daemon.runs[1], cursor=5),
    ]  # fmt: skip
    daemon.on("GET", "/api/v1/events", {"items": items, "next": None, "newest": 5})


def _artifacts(daemon: FakeDaemon) -> None:
    files = [{"name": "value.parquet", "size_bytes": 3790, "modified_at": stamp(60)}]
    listed = [{"namespace": "default", "name": name, "files": 1, "size_bytes": 3790, "modified_at": stamp(60)} for name in ("forecast", "metrics")]  # fmt: skip
    daemon.on("GET", "/api/v1/artifacts/[^/]+", {"items": listed})
    detail = {"namespace": "default", "name": "forecast", "files": files, "metadata": {"series": 6}}
    daemon.on("GET", "/api/v1/artifacts/[^/]+/[^/]+", detail)
    about = {"type": "pandas.DataFrame", "shape": [144, 2], "columns": [["series", "str"], ["value", "float64"]], "index": ["0", "1"], "head": [["EWR", -2.12], ["JFK", 1.5]]}  # fmt: skip
    daemon.on("GET", "/api/v1/artifacts/[^/]+/[^/]+/[^/]+/preview", {"file": "value.parquet", "size_bytes": 3790, "format": "frame", "about": about, "text": None, "truncated": False})  # fmt: skip
