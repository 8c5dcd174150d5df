"""The page about one workflow: who waits for whom, as its last run went."""

from __future__ import annotations

import re

from tests.tui.fake import FakeDaemon, new_app
from tests.tui.furnished import furnish
from tests.tui.waiting import text_of, until


async def test_the_graph_is_coloured_as_the_last_run_went_and_enter_opens_that_run(
    daemon: FakeDaemon,
) -> None:
    furnish(daemon)
    daemon.runs[0]["stages"] = [
        {"name": "cities", "type": "simple", "state": "finished", "attempt": 1},
        {"name": "fetch", "type": "parameterized", "state": "failed", "attempt": 1},
    ]
    app = new_app(daemon, "workflows")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("enter")
        await until(pilot, lambda: "✔ cities ───▶ ✖ fetch ───▶ · fit" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: app.view.view == "run" and "quiet-otter-0001" in text_of(pilot))


async def test_a_workflow_of_one_stage_needs_no_graph(daemon: FakeDaemon) -> None:
    furnish(daemon)
    daemon.on("GET", "/api/v1/workflows", {"items": [
        {"kind": "workflow", "metadata": {"name": "one", "uid": "1" * 8, "revision": 1}, "spec": {"stages": [{"name": "only", "target": "a.b"}]}},
    ]})  # fmt: skip
    app = new_app(daemon, "workflows")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("enter")
        await until(pilot, lambda: "1 STAGE\n" in text_of(pilot).replace(" \n", "\n"))
        assert not app.view.query_one("GraphView").display


async def test_times_stand_below_each_other_however_long_the_names_are(daemon: FakeDaemon) -> None:
    furnish(daemon)
    daemon.runs[0]["name"] = "venerable-labradoodle-31c6e0e5"
    app = new_app(daemon, "workflows")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        await pilot.press("enter")
        await until(pilot, lambda: "venerable-labradoodle" in text_of(pilot))
        _, _, below = text_of(pilot).partition("LAST RUNS")
        ends = [re.match(r".*\d+[smhd] ", line) for line in below.splitlines()[1:3]]
        assert len({found.end() for found in ends if found}) == 1
