"""The screen of one run: its tabs, what opens what, live changes that move nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from textual.pilot import Pilot

from flowdapt.client.wire import Response
from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.keys import EVERYWHERE, KEYS
from flowdapt.tui.screens.run_detail import RunDetail
from flowdapt.tui.widgets.graph import GraphView
from flowdapt.tui.widgets.log import LogView
from flowdapt.tui.widgets.plot import PlotView
from tests.tui.fake import FakeDaemon, an_event, new_app, stamp
from tests.tui.furnished_run import a_stage, furnish_run, open_stages, the_run
from tests.tui.snapshots import SIZES, compare
from tests.tui.waiting import lines_of, still, text_of, until

PARENT = "9" * 32


async def opened(app: FlowdaptApp, pilot: Pilot[Any], tab: str = "show") -> RunDetail:
    """Open the first run's screen, and wait until it is read."""
    await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
    app.open_detail("run", app.view.table.rows[0].uid, tab)
    return await until(pilot, lambda: _read(app))


def _read(app: FlowdaptApp) -> RunDetail | None:
    return app.view if isinstance(app.view, RunDetail) and app.view.run else None


async def test_enter_on_a_run_opens_its_chart_and_escape_goes_back(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        await pilot.press("enter")
        await until(pilot, lambda: "[gantt]" in text_of(pilot))
        row = await until(pilot, lambda: [one for one in lines_of(pilot) if "▶ process" in one])
        assert "█░" in row[0]
        assert "40 23✔ 2✖ ~23s left" in row[0]
        await pilot.press("escape")
        await until(pilot, lambda: app.view.view == "runs")


async def test_a_run_that_goes_on_moves_neither_cursor_nor_scroll_nor_marks(
    daemon: FakeDaemon,
) -> None:
    stages = [one | {"name": f"{one['name']}{at}"} for at in range(10) for one in open_stages()]
    furnish_run(daemon, the_run(stages=stages))
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot)
        await pilot.press(*"jjj", "space", *["j"] * 20)
        table = page.table
        before = table.current_key, set(table.marks), table.scroll_y
        assert before[2] > 0
        changed = [one | {"state": "finished", "finished_at": one["started_at"]} if one["name"] == "process3" else one for one in stages]  # fmt: skip
        daemon.runs[0]["stages"] = changed
        daemon.tell(an_event("workflow.stage_finished", daemon.runs[0], cursor=9))
        await until(pilot, lambda: next(one for one in table.rows if one.name == "process3").state == "finished")  # fmt: skip
        assert (table.current_key, table.marks, table.scroll_y) == before


async def test_an_open_run_is_looked_at_again_without_any_event(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        daemon.runs[0] = the_run(stages=open_stages(35))
        await until(pilot, lambda: "35✔ 2✖" in text_of(pilot))


async def test_tabs_are_gone_through_and_empty_ones_are_left_out(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot)
        seen = []
        for _ in range(7):
            await pilot.press("tab")
            seen.append(page.pane.tab)
        assert seen == ["graph", "items", "logs", "events", "data", "metrics", "gantt"]
        await pilot.press("shift+tab")
        assert page.pane.tab == "metrics"


@pytest.mark.parametrize(
    ("stage", "tab"), [("process", "items"), ("fit", "error"), ("load", "logs")]
)
async def test_enter_on_a_stage_opens_what_there_is_of_it(
    daemon: FakeDaemon, stage: str, tab: str
) -> None:
    furnish_run(daemon, the_run("failed"))
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot)
        page.table.move_to_key(stage)
        await pilot.press("enter")
        await until(pilot, lambda: page.pane.tab == tab)
        if tab == "logs":
            await until(pilot, lambda: page.query_one(LogView).lines)
            assert {line.stage for line in page.query_one(LogView).lines} == {"load"}


async def test_the_graph_is_that_of_the_revision_and_shows_states(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot, "graph")
        await until(pilot, lambda: "─▶ ▶ process" in text_of(pilot))
        asked = daemon.asked_for("GET", "/api/v1/workflows/train.*")
        assert "1" in [dict(one.query).get("revision") for one in asked] or asked[0].path.endswith("/1")  # fmt: skip
        await pilot.press("right", "right")
        assert page.pane.stage == "split"
        await pilot.press("enter")
        await until(pilot, lambda: page.pane.tab == "logs" and page.pane.window.choice.stage == "split")  # fmt: skip


async def test_a_wide_graph_scrolls_to_the_stage_under_the_cursor(daemon: FakeDaemon) -> None:
    names = [f"stage-{at}" for at in range(300)]
    furnish_run(daemon, the_run(stages=[a_stage(name, "finished", 50, 1) for name in names]))
    stages = [{"name": name, "target": "a.b", "depends_on": names[max(at - 1, 0) : at]} for at, name in enumerate(names)]  # fmt: skip
    metadata = {"name": "train", "uid": "1" * 32, "revision": 1, "created_at": stamp(), "updated_at": stamp()}  # fmt: skip
    daemon.on("GET", "/api/v1/workflows/train.*", {"kind": "workflow", "metadata": metadata, "spec": {"stages": stages}})  # fmt: skip
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot, "graph")
        graph = page.query_one(GraphView)
        await until(pilot, lambda: graph.drawing)
        graph.move_to("stage-250")
        await until(pilot, lambda: "stage-249" in text_of(pilot))
        await pilot.press("left")
        row = await until(pilot, lambda: [one for one in lines_of(pilot) if "▌✔ stage-249" in one])
        assert "▌✔ stage-249 ───▶ ✔ stage-250" in row[0]
        assert len(row[0]) <= 100


async def test_a_definition_that_is_gone_is_said(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    gone = {"status": 404, "code": "resource.not_found", "detail": "there is no workflow 'train'"}
    problem = {"content-type": "application/problem+json"}
    daemon.on("GET", "/api/v1/workflows/train.*", Response(404, problem, json.dumps(gone).encode()))
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot, "graph")
        await until(pilot, lambda: "there is no workflow 'train'" in text_of(pilot))


async def test_items_are_read_by_state_on_the_server(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot, "items")
        await until(pilot, lambda: page.table.rows)
        assert len(page.table.rows) == 40
        await pilot.press("f", "j", "enter")
        await until(pilot, lambda: [one.index for one in page.table.rows] == [7, 31])
        await until(pilot, lambda: "at /home/ada/train.py:14 in fit" in text_of(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: page.pane.tab == "logs" and page.pane.window.choice.index == 7)


async def test_ten_thousand_items_are_gone_through_page_by_page(daemon: FakeDaemon) -> None:
    furnish_run(daemon, the_run(stages=[a_stage("process", "running", 9, items={"total": 10_000})]))

    def many(request: Any, _: Any) -> dict[str, Any]:
        start = int(dict(request.query).get("cursor", 0))
        items = [{"index": at, "state": "finished"} for at in range(start, start + 500)]
        return {"items": items, "next": str(start + 500) if start < 9500 else None}

    daemon.on("GET", "/api/v1/runs/[^/]+/stages/[^/]+/items", many)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot, "items")
        await until(pilot, lambda: page.table.rows)
        while page.table.rows[-1].index < 9_999:
            last = page.table.rows[-1].index
            await pilot.press("G")
            await until(pilot, lambda last=last: page.table.rows[-1].index > last)
            assert page.table.current.index == last
            assert len(page.table.rows) <= 2000
        first = page.table.rows[0].index
        await pilot.press("g")
        await until(pilot, lambda: page.table.rows[0].index < first)
        assert page.table.current.index == first


async def test_an_error_shows_the_users_frames_and_all_of_them_on_a_key(daemon: FakeDaemon) -> None:
    furnish_run(daemon, the_run("failed"))
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot, "error")
        await until(pilot, lambda: "at /home/ada/train.py:14 in fit" in text_of(pilot))
        assert "sklearn" not in text_of(pilot)
        assert r"NaN\x1b[31m in" in text_of(pilot)
        await pilot.press("t")
        await until(pilot, lambda: "sklearn/base.py" in text_of(pilot))


async def test_input_and_result_are_copied_as_json(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish_run(daemon, the_run("finished", result={"rmse": 0.25}))
    app = new_app(daemon)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy", copied.append)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot, "data")
        await until(pilot, lambda: '"rmse": 0.25' in text_of(pilot))
        await pilot.press("y")
        await until(pilot, lambda: copied)
        assert json.loads(copied[0]) == {
            "input": {"city": "Köln", "trees": 100},
            "result": {"rmse": 0.25},
        }


async def test_a_result_that_is_left_out_of_the_run_is_fetched(daemon: FakeDaemon) -> None:
    furnish_run(
        daemon, the_run("finished", result_preview={"type": "list"}, result_size_bytes=70_000)
    )
    daemon.on("GET", "/api/v1/runs/[^/]+/result", ["a long list"])
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot, "data")
        await until(pilot, lambda: '"a long list"' in text_of(pilot))


async def test_a_frame_is_told_by_its_columns_and_first_rows(daemon: FakeDaemon) -> None:
    frame = {
        "type": "pandas.DataFrame", "shape": [144, 2], "columns": [["city", "str"], ["value", "float64"]],
        "head": [["EWR", -2.12], ["JFK\x1b[2J", 1.5]], "size_bytes": 3790,
    }  # fmt: skip
    furnish_run(daemon, the_run("finished", result_preview=frame, result_size_bytes=10**9))
    app = new_app(daemon)
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(app, pilot, "data")
        await until(pilot, lambda: "pandas.DataFrame 144 by 2, 3.7 KiB" in text_of(pilot))
        await until(pilot, lambda: r"JFK\x1b[2J" in text_of(pilot) and "float64" in text_of(pilot))


async def test_series_are_plotted_and_several_are_chosen(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot, "metrics")
        plot = page.query_one(PlotView)
        await until(pilot, lambda: [one.name for one in plot.series] == ["accuracy"])
        await pilot.press("space", "space")
        await until(pilot, lambda: [one.name for one in plot.series] == ["accuracy", "loss"])
        assert "└───" in text_of(pilot)
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: max(map(len, lines_of(pilot))) <= 60 and "└" in text_of(pilot))


async def test_series_are_told_apart_without_colours(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon, theme="mono")
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot, "metrics")
        await until(pilot, lambda: page.table.rows)
        await pilot.press("space", "space")
        await until(pilot, lambda: "* fit.accuracy" in text_of(pilot) and "+ fit.loss" in text_of(pilot))  # fmt: skip
        await until(pilot, lambda: "***" in text_of(pilot) and "+++" in text_of(pilot))


async def test_the_run_before_stands_beside_and_is_opened(daemon: FakeDaemon) -> None:
    furnish_run(daemon, the_run(parent=PARENT))
    daemon.runs.append(the_run("failed") | {"uid": PARENT, "name": "calm-bee-0007"})
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot, "parent")
        await until(pilot, lambda: "calm-bee-0007  failed" in text_of(pilot))
        await pilot.press("p")
        await until(pilot, lambda: app.view is not page and app.view.run_name == "calm-bee-0007")


async def test_a_run_that_was_deleted_is_said_to_be_gone(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.link.usable)
        app.open_detail("run", "nobody", "show")
        await until(pilot, lambda: "there is no run 'nobody'" in text_of(pilot))


async def test_the_screen_finds_the_run_again_after_the_daemon_was_away(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        daemon.die()
        await until(pilot, lambda: not app.link.usable)
        daemon.runs[0] = the_run("failed")
        daemon.come_back()
        await until(pilot, lambda: "✖ failed" in text_of(pilot), within_s=10)


async def test_a_click_on_its_name_opens_a_tab(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=(100, 30)) as pilot:
        page = await opened(app, pilot)
        line = next(one for one in lines_of(pilot) if "[gantt]" in one)
        for tab in ("logs", "data", "graph"):
            await pilot.click("RunTabs", offset=(line.index(tab) + 1, 0))
            await until(pilot, lambda tab=tab: page.pane.tab == tab)


def test_no_two_keys_of_the_screen_are_the_same() -> None:
    taken = [one for id_ in (*RunDetail.KEYS, *EVERYWHERE) for one in KEYS[id_].keys.split(",")]
    assert sorted(taken) == sorted(set(taken))


SCENES = {
    "gantt": ("running", "40 23✔"), "graph": ("running", "─▶ ▶ process"), "items": ("running", "ValueError"),
    "logs": ("running", "following"), "events": ("running", "stage_finished"), "data": ("running", "DataFrame 144 by 2"),
    "error": ("failed", "train.py:14"), "metrics": ("running", "└──"), "parent": ("failed", "calm-bee-0007"),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("tab", SCENES)
async def test_tabs_look_as_committed(
    daemon: FakeDaemon, tab: str, theme: str, size: str, update_snapshots: bool
) -> None:
    state, shows = SCENES[tab]
    furnish_run(daemon, the_run(state, parent=PARENT if tab == "parent" else None))
    daemon.runs.append(the_run("failed") | {"uid": PARENT, "name": "calm-bee-0007"})
    app = new_app(daemon, theme=theme)
    async with app.run_test(size=SIZES[size]) as pilot:
        await opened(app, pilot, tab)
        await until(pilot, lambda: shows in text_of(pilot))
        await still(pilot)
        compare(app, f"run-{tab}-{size}-{theme}", update=update_snapshots)


@pytest.mark.parametrize("tab", ["gantt", "graph", "logs", "metrics"])
async def test_tabs_hold_ascii_only_where_fonts_are_bad(daemon: FakeDaemon, tab: str) -> None:
    furnish_run(daemon)
    app = new_app(daemon, ascii=True)
    async with app.run_test(size=(110, 30)) as pilot:
        await opened(app, pilot, tab)
        await still(pilot)
        drawn = text_of(pilot)
        assert [char for char in drawn if not char.isascii() and char not in "│─▁▔▇▆▅▄▃▂…"] == []
