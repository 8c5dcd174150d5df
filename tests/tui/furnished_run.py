"""A fake daemon with one run that has a bit of everything: stages, items, a log, series, a parent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from flowdapt.client.wire import Request
from tests.tui.fake import NOW, FakeDaemon, a_run, an_event, stamp

EPOCH = NOW.timestamp()
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/opt/env/lib/python3.12/site-packages/flowdapt/runtime/calling.py", line 80, in call\n'
    "    return function(*arguments)\n"
    '  File "/home/ada/train.py", line 14, in fit\n'
    "    model.fit(features, target)\n"
    '  File "/opt/env/lib/python3.12/site-packages/sklearn/base.py", line 1363, in wrapper\n'
    "    return fit_method(estimator, *args)\n"
    "ValueError: the input holds NaN in column 3\n"
)
DEPENDS = {
    "load": [], "clean": ["load"], "split": ["clean"], "process": ["split"],
    "fit": ["process", "split"], "report": ["fit", "load"],
}  # fmt: skip


def an_error(stage: str = "fit", index: int | None = None) -> dict[str, Any]:
    return {
        "type": "builtins.ValueError", "message": "the input holds NaN\x1b[31m in column 3",
        "stage": stage, "index": index, "traceback": TRACEBACK,
    }  # fmt: skip


def a_stage(name: str, state: str, begin_s: float | None = None, took_s: float | None = None, **more: Any) -> dict[str, Any]:  # fmt: skip
    """Return a stage that began `begin_s` seconds before now."""
    return {
        "name": name, "type": "parameterized" if "items" in more else "simple", "state": state, "attempt": 1,
        "started_at": None if begin_s is None else stamp(begin_s),
        "finished_at": None if begin_s is None or took_s is None else stamp(begin_s - took_s),
        "duration_s": took_s,
    } | more  # fmt: skip


def open_stages(done: int = 23) -> list[dict[str, Any]]:
    return [
        a_stage("load", "finished", 59, 12.5, result_preview={"type": "DataFrame", "shape": [144, 2]}),
        a_stage("clean", "finished", 46, 6.2),
        a_stage("split", "finished", 39, 0.4),
        a_stage("process", "running", 38, items={"total": 40, "finished": done, "failed": 2, "running": 2}),
        a_stage("fit", "pending"),
        a_stage("report", "pending"),
    ]  # fmt: skip


def failed_stages() -> list[dict[str, Any]]:
    stages = open_stages(38)
    stages[3] |= {"state": "finished", "finished_at": stamp(20), "duration_s": 18.0}
    stages[4] |= a_stage("fit", "failed", 19, 8.5, attempt=3, error=an_error())
    stages[5] |= {"state": "skipped", "reason": "dependency"}
    return stages


def the_run(state: str = "running", **more: Any) -> dict[str, Any]:
    given = {"input": {"city": "Köln", "trees": 100}, "labels": {"team": "nowcast"}}
    if state == "failed":
        given |= {"error": an_error(), "finished_at": stamp(10.5), "duration_s": 48.5, "reason": "user_code"}  # fmt: skip
    stages = failed_stages() if state == "failed" else open_stages()
    return a_run(1, state, stages=stages, started_at=stamp(59), **given) | more


class Log:
    """Lines of a log, answered as the daemon does: by number, forwards or back, searched, with context."""

    def __init__(self, count: int) -> None:
        self.lines = [self._line(number) for number in range(1, count + 1)]

    def _line(self, number: int) -> dict[str, Any]:
        level = {0: "error", 5: "warning", 3: "debug"}.get(number % 10, "info")
        text = f"row {number}: loss={1 / number:.6f} {'NaN found' if number % 100 == 0 else 'ok'}"
        return {
            "number": number, "time": EPOCH - 60 + number / 1000, "stage": ("load", "process")[number % 2], "attempt": 1,
            "index": number % 7 if number % 2 else None, "stream": "stdout", "level": level, "text": text,
        }  # fmt: skip

    def add(self, count: int = 1, **more: Any) -> None:
        start = len(self.lines) + 1
        self.lines += [self._line(number) | more for number in range(start, start + count)]

    def page(self, request: Request, _: Any = None) -> dict[str, Any]:
        given = dict(request.query)
        levels = ("debug", "info", "warning", "error", "critical")
        low, high = int(given.get("after", 0)), int(given.get("before", len(self.lines) + 1))
        least = levels.index(given.get("level", "debug"))
        fit = [
            line for line in self.lines
            if low < line["number"] < high and levels.index(line["level"]) >= least
            and given.get("stage", line["stage"]) == line["stage"]
            and given.get("index", str(line["index"])) == str(line["index"])
        ]  # fmt: skip
        hits = [one for one in fit if re.search(given.get("grep", ""), one["text"])]
        tail, limit = given.get("tail") == "true", int(given.get("limit", 1000))
        chosen = hits[-limit:] if tail else hits[:limit]
        last = chosen[-1]["number"] if len(chosen) == limit and not tail else max(low, high - 1)
        around = int(given.get("context", 0))
        if around:
            near = {one["number"] + by for one in chosen for by in range(-around, around + 1)}
            chosen = [one for one in fit if one["number"] in near]
        return {"items": chosen, "next_after": last, "truncated": False}


def series(*names: str, count: int = 60) -> list[dict[str, Any]]:
    curves = {"loss": lambda at: 2.5 * math.exp(-at / 15) + 0.1 * math.sin(at), "accuracy": lambda at: 1 - math.exp(-at / 20)}  # fmt: skip
    return [
        {"stage": "fit", "name": name, "index": None, "points": [[at, curves[name](at), EPOCH] for at in range(count)]}
        for name in names
    ]  # fmt: skip


def items(request: Request, _: Any) -> dict[str, Any]:
    given = dict(request.query)
    made = [
        {"index": at, "state": "failed" if at in {7, 31} else "finished" if at < 25 else "pending", "attempt": 1,
         "started_at": stamp(38 - at), "finished_at": stamp(36 - at) if at < 25 else None,
         "error": an_error("process", at) if at in {7, 31} else None}
        for at in range(40)
    ]  # fmt: skip
    fit = [one for one in made if given.get("state", one["state"]) == one["state"]]
    start, limit = int(given.get("cursor", 0)), int(given.get("limit", 500))
    more = start + limit < len(fit)
    return {"items": fit[start : start + limit], "next": str(start + limit) if more else None}


def furnish_run(
    daemon: FakeDaemon, run: Mapping[str, Any] | None = None, *, lines: int = 2500
) -> Log:
    """Have the daemon tell of one run and all that belongs to it; return its log."""
    daemon.runs = [dict(run or the_run())]
    log = Log(lines)
    daemon.on("GET", "/api/v1/runs/[^/]+/logs", log.page)
    daemon.on("GET", "/api/v1/runs/[^/]+/metrics", {"items": series("accuracy", "loss")})
    daemon.on("GET", "/api/v1/runs/[^/]+/stages/[^/]+/items", items)
    stages = [
        {"name": name, "target": f"user.{name}", "depends_on": needs}
        for name, needs in DEPENDS.items()
    ]
    metadata = {"name": "train", "uid": "1" * 32, "revision": 1, "created_at": stamp(900), "updated_at": stamp(900)}  # fmt: skip
    daemon.on("GET", "/api/v1/workflows/train.*", {"kind": "workflow", "metadata": metadata, "spec": {"stages": stages}})  # fmt: skip
    told = [
        an_event("workflow.workflow_queued", daemon.runs[0], cursor=3),
        an_event("workflow.workflow_started", daemon.runs[0], cursor=4),
        an_event("workflow.stage_finished", None, cursor=5, stage="load", state="finished"),
    ]

    def events(request: Request, _: Any) -> dict[str, Any]:
        after = int(dict(request.query).get("after", 0))
        return {"items": [one for one in told if one["cursor"] > after], "next": None}

    daemon.on("GET", "/api/v1/events", events)
    return log
