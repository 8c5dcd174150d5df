"""The lists besides the runs: what they show, how they are found, opened, held still."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tui.fake import FakeDaemon, an_event, new_app
from tests.tui.furnished import furnish
from tests.tui.snapshots import SIZES, compare
from tests.tui.waiting import lines_of, still, text_of, until

# What is on screen once a list and its pane are read.
SHOWN = {
    "workflows": "plugin.stages.fit",
    "triggers": "2 started",
    "configs": "trees: 100",
    "executors": "local-3",
    "events": "CAUSED BY",
    "artifacts": "value.parquet",
    "plugins": "executor  dask",
    "system": "CHECK-UP",
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("view", SHOWN)
async def test_pictures(
    daemon: FakeDaemon, view: str, theme: str, size: str, update_snapshots: bool
) -> None:
    furnish(daemon)
    app = new_app(daemon, view, theme=theme)
    async with app.run_test(size=SIZES[size]) as pilot:
        await until(pilot, lambda: SHOWN[view] in text_of(pilot) or _scrolled_away(pilot, view))
        await still(pilot)
        compare(app, f"{view}-{theme}-{size}", update=update_snapshots)


def _scrolled_away(pilot: Any, view: str) -> bool:
    """Say whether the pane holds the words below what fits on a small screen."""
    prose = pilot.app.screen.query("#prose")
    return bool(prose) and SHOWN[view] in str(prose.first().render())


@pytest.mark.parametrize("view", ["workflows", "triggers", "configs", "artifacts", "events"])
async def test_an_empty_list_says_what_to_do(daemon: FakeDaemon, view: str) -> None:
    daemon.on("GET", "/api/v1/events", {"items": [], "next": None, "newest": None})
    daemon.on("GET", "/api/v1/artifacts/[^/]+", {"items": []})
    async with new_app(daemon, view).run_test(size=(120, 20)) as pilot:
        await until(pilot, lambda: pilot.app.view.table.empty and lines_of(pilot)[3:5] != ["", ""])
        assert pilot.app.view.table.empty != "nothing here"


async def test_a_list_is_found_in_and_the_words_are_let_go_of_by_esc(daemon: FakeDaemon) -> None:
    furnish(daemon)
    async with new_app(daemon, "workflows").run_test(size=(120, 30)) as pilot:
        table = pilot.app.view.table
        await until(pilot, lambda: len(table.rows) == 3)
        await pilot.press("slash", *"eval", "enter")
        await until(pilot, lambda: [row.name for row in table.rows] == ["evaluate"])
        assert "/eval" in lines_of(pilot)[0]
        await pilot.press("escape")
        await until(pilot, lambda: len(table.rows) == 3)


async def test_a_row_opens_its_page_and_esc_comes_back_to_the_row(daemon: FakeDaemon) -> None:
    furnish(daemon)
    async with new_app(daemon, "workflows").run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: len(pilot.app.view.table.rows) == 3)
        await pilot.press("j", "enter")
        await until(pilot, lambda: "REVISIONS" in text_of(pilot))
        assert "workflow  evaluate" in lines_of(pilot)[0]
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.view.table is not None)
        assert pilot.app.view.table.current_key == "evaluate"


async def test_a_list_that_cannot_be_read_says_why_and_recovers(daemon: FakeDaemon) -> None:
    furnish(daemon)
    from tests.tui.fake import refusal

    broken = {"now": True}
    plugins = {"items": [{"name": "builtin", "enabled": True, "provides": []}]}
    daemon.on(
        "GET",
        "/api/v1/plugins",
        lambda *_: refusal(503, "store.busy", "the database is busy") if broken["now"] else plugins,
    )
    async with new_app(daemon, "plugins").run_test(size=(100, 20)) as pilot:
        await until(pilot, lambda: "the database is busy" in text_of(pilot))
        broken["now"] = False
        await pilot.press("f5")
        await until(pilot, lambda: "builtin" in text_of(pilot))


async def test_events_are_live_until_they_are_held_still(daemon: FakeDaemon) -> None:
    furnish(daemon)
    app = new_app(daemon, "events")
    async with app.run_test(size=(120, 20)) as pilot:
        table = app.view.table
        await until(pilot, lambda: len(table.rows) == 5)
        daemon.tell(an_event("mine.here", cursor=6, name="first"))
        await until(pilot, lambda: len(table.rows) == 6)
        await pilot.press("p")
        daemon.tell(an_event("mine.here", cursor=7, name="second"))
        await until(pilot, lambda: "held, 1 more since" in lines_of(pilot)[0])
        assert len(table.rows) == 6


async def test_events_are_found_by_a_pattern_of_their_type(daemon: FakeDaemon) -> None:
    furnish(daemon)
    app = new_app(daemon, "events")
    async with app.run_test(size=(120, 20)) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 5)
        await pilot.press("slash", *"workflow.*finished", "enter")
        await until(pilot, lambda: len(app.view.table.rows) == 2)


async def test_a_key_that_is_off_says_why(daemon: FakeDaemon) -> None:
    furnish(daemon)
    app = new_app(daemon, "executors")
    async with app.run_test(size=(120, 20), notifications=True) as pilot:
        await until(pilot, lambda: len(app.view.table.rows) == 2)
        await pilot.press("u")
        await until(pilot, lambda: "it is the active executor" in text_of(pilot))
