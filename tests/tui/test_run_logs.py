"""The log of a run: a window on many lines, followed, searched by the daemon, copied, saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.screens.logs import LogPane
from flowdapt.tui.widgets.log import LogView
from tests.tui.fake import FakeDaemon, new_app
from tests.tui.furnished_run import furnish_run, the_run
from tests.tui.test_run_detail import opened
from tests.tui.waiting import lines_of, text_of, until

SIZE = (110, 30)


async def the_log(app: FlowdaptApp, pilot: Pilot[Any]) -> tuple[LogPane, LogView]:
    page = await opened(app, pilot, "logs")
    pane = page.query_one(LogPane)
    await until(pilot, lambda: pane.window.loaded)
    return pane, pane.log_view


def seen(view: LogView) -> list[int]:
    """Return the numbers of the lines in sight."""
    return [line.number for line in view.lines[view.top : view.top + view.size.height]]


async def test_opening_reads_one_page_of_a_long_log_and_shows_its_end(daemon: FakeDaemon) -> None:
    furnish_run(daemon, lines=20_000)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        assert seen(view)[-1] == 20_000
        assert len(view.lines) <= 500
        assert "following   20,000 lines" in text_of(pilot)


async def test_who_follows_sees_new_lines_come(daemon: FakeDaemon) -> None:
    log = furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        log.add(3)
        await until(pilot, lambda: seen(view)[-1] == 2503)
        log.add(9000)
        await until(pilot, lambda: seen(view)[-1] == 11_503)
        assert len(view.lines) <= 3000


async def test_new_lines_move_nobody_who_scrolled_up_and_are_counted(daemon: FakeDaemon) -> None:
    log = furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        await pilot.press(*["k"] * 40)
        before = seen(view), view.current
        log.add(7)
        await until(pilot, lambda: "7 new" in text_of(pilot))
        assert (seen(view), view.current) == before
        assert "F follows" in text_of(pilot)
        await pilot.press("F")
        await until(pilot, lambda: seen(view)[-1] == 2507)


async def test_the_wheel_lets_go_of_the_end_as_well(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        view.scroll_up(animate=False)
        await until(pilot, lambda: not view.follows)
        assert "F follows" in text_of(pilot)


async def test_older_lines_are_read_while_one_goes_up(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        for _ in range(60):
            await pilot.press("pageup")
        await until(pilot, lambda: view.lines[0].number < 1500)
        numbers = [line.number for line in view.lines]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))


async def test_the_first_line_and_any_line_are_gone_to(daemon: FakeDaemon) -> None:
    furnish_run(daemon, lines=20_000)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        await pilot.press("g")
        await until(pilot, lambda: seen(view)[0] == 1)
        await app.obey("line 12345")
        await until(pilot, lambda: view.current and view.current.number == 12_345)
        assert 12_345 in seen(view)


async def test_search_is_the_daemons_over_all_lines_and_goes_both_ways(daemon: FakeDaemon) -> None:
    furnish_run(daemon, lines=20_000)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        await pilot.press("slash", *"row 77: ", "enter")
        await until(pilot, lambda: view.current and view.current.number == 77)
        await pilot.press("slash", *["backspace"] * 8, *"NaN", "enter")
        await until(pilot, lambda: view.current.number == 100)
        await pilot.press("n")
        await until(pilot, lambda: view.current.number == 200)
        await pilot.press("N", "N")
        await until(pilot, lambda: view.current.number == 20_000)
        await pilot.press("n")
        await until(pilot, lambda: view.current.number == 100)
        asked = [dict(one.query) for one in daemon.asked_for("GET", ".*/logs")]
        assert [one["limit"] for one in asked if one.get("grep")] == ["1"] * len([one for one in asked if one.get("grep")])  # fmt: skip


async def test_who_looks_at_the_end_is_led_to_the_last_match(daemon: FakeDaemon) -> None:
    furnish_run(daemon, lines=20_000)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        await pilot.press("slash", *"NaN", "enter")
        await until(pilot, lambda: not view.follows and view.current.number == 20_000)
        await pilot.press("N")
        await until(pilot, lambda: view.current.number == 19_900)


async def test_a_search_without_a_match_says_so(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        _, view = await the_log(app, pilot)
        await pilot.press("slash", *"nowhere", "enter")
        await until(pilot, lambda: "no line matches 'nowhere'" in text_of(pilot))
        assert view.lines


async def test_matches_alone_and_with_context(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        pane, view = await the_log(app, pilot)
        await pilot.press("slash", *"NaN", "enter")
        await until(pilot, lambda: view.current.number % 100 == 0)
        await pilot.press("C")
        await until(pilot, lambda: [line.number for line in view.lines] == list(range(100, 2501, 100)))  # fmt: skip
        await pilot.press("C")
        await until(pilot, lambda: [line.number for line in view.lines][:5] == [98, 99, 100, 101, 102])  # fmt: skip
        await pilot.press("escape")
        await until(pilot, lambda: len(view.lines) == 500)
        assert pane.window.choice.sought == ""


async def test_a_stage_that_said_nothing_tells_how_to_see_the_others(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        pane, _ = await the_log(app, pilot)
        pane.show_stage("silent")
        await pane.read()
        await until(pilot, lambda: "no line: silent: f shows all stages" in text_of(pilot))


async def test_levels_and_stages_are_chosen_on_the_server(daemon: FakeDaemon) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        await pilot.press("v", "v", "v")
        await until(pilot, lambda: view.lines and {line.level for line in view.lines} == {"error"})
        await pilot.press("v", "v")
        await until(pilot, lambda: {"debug", "info"} <= {line.level for line in view.lines})
        await pilot.press("f", "j", "enter")
        await until(pilot, lambda: view.lines and {line.stage for line in view.lines} == {"load"})


async def test_lines_are_selected_and_copied(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish_run(daemon)
    app = new_app(daemon)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy", copied.append)
    async with app.run_test(size=SIZE) as pilot:
        await the_log(app, pilot)
        await pilot.press("k", "k", "space", "k", "k", "y")
        await until(pilot, lambda: copied)
        assert [line.split()[4] for line in copied[0].splitlines()] == ["2496:", "2497:", "2498:"]
        assert "3 lines selected" in text_of(pilot)


async def test_the_whole_log_is_saved_page_by_page(daemon: FakeDaemon, tmp_path: Path) -> None:
    furnish_run(daemon, lines=25_000)
    app = new_app(daemon)
    file = tmp_path / "whole.log"
    async with app.run_test(size=SIZE) as pilot:
        await the_log(app, pilot)
        await pilot.press("S")
        await until(pilot, lambda: app.screen.query("#dialog-input"))
        app.screen.query_one("#dialog-input").value = str(file)
        await pilot.press("enter")
        await until(pilot, lambda: file.exists() and file.read_text().count("\n") == 25_000)


async def test_hostile_lines_are_drawn_escaped_whole_and_in_part(daemon: FakeDaemon) -> None:
    log = furnish_run(daemon, lines=5)
    log.add(1, text="\x1b]52;c;aGk=\x07\x1b[2J\u202eevil\u2066 \x9b31m" + "x" * 400)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        _, view = await the_log(app, pilot)
        await pilot.press("k", "G", "k", "j")
        await until(pilot, lambda: view.current.number == 6 or view.follows)
        for keys in (["slash", *"evil", "enter"], ["right"], ["left"], ["enter"]):
            await pilot.press(*keys)
            await pilot.pause(0.1)
            drawn = text_of(pilot)
            assert not [char for char in drawn if ord(char) < 32 and char != "\n"]
            assert not {"\x9b", "\u202e", "\u2066"} & set(drawn)
        assert r"\x1b]52;c" in drawn


async def test_a_run_that_said_nothing_says_so(daemon: FakeDaemon) -> None:
    furnish_run(daemon, lines=0)
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        await the_log(app, pilot)
        await until(pilot, lambda: "it said nothing yet" in text_of(pilot))


async def test_an_ended_run_is_not_asked_again_and_again(daemon: FakeDaemon) -> None:
    furnish_run(daemon, the_run("failed"))
    app = new_app(daemon)
    async with app.run_test(size=SIZE) as pilot:
        pane, _ = await the_log(app, pilot)
        await until(pilot, lambda: pane._ended)
        assert "the end   2,500 lines" in "".join(lines_of(pilot)[-2:])
        count = len(daemon.asked_for("GET", ".*/logs"))
        await pilot.pause(1.2)
        assert len(daemon.asked_for("GET", ".*/logs")) == count
