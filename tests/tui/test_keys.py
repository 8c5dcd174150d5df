from __future__ import annotations

import re

import pytest

from flowdapt.domain.errors import InvalidInput
from flowdapt.tui.commands import COMMANDS, UnknownCommand, complete, find_command
from flowdapt.tui.everywhere import Everywhere
from flowdapt.tui.keys import EVERYWHERE, KEYS, wrong_keys
from flowdapt.tui.options import read_options
from flowdapt.tui.screens.catalogue import VIEWS, make_view
from tests.tui.fake import FakeDaemon, a_run, new_app
from tests.tui.waiting import lines_of, text_of, until


def test_no_two_keys_that_can_meet_are_the_same() -> None:
    for view in VIEWS:
        screen = make_view(view)
        ids = [*screen.KEYS, *EVERYWHERE]
        taken = [one for id_ in ids for one in KEYS[id_].keys.split(",")]
        assert sorted(taken) == sorted(set(taken)), view


def test_every_key_that_is_everywhere_does_something_everywhere() -> None:
    assert [id_ for id_ in EVERYWHERE if not hasattr(Everywhere, KEYS[id_].method)] == []


def test_every_command_names_a_key_or_a_method() -> None:
    assert [one.name for one in COMMANDS.values() if one.key not in KEYS and not one.method] == []


def test_commands_are_found_by_unique_beginnings_and_other_names() -> None:
    assert find_command("pu").name == "pulse"
    assert find_command("q").name == "quit"
    with pytest.raises(UnknownCommand):
        find_command("e")
    with pytest.raises(UnknownCommand):
        find_command("nonsense")


def test_a_slip_in_a_command_is_answered_with_what_was_meant() -> None:
    for word, meant in (("rnus", ":runs"), ("workflwo", ":workflows"), ("e", ":executors")):
        with pytest.raises(UnknownCommand) as caught:
            find_command(word)
        assert meant in str(caught.value.fix)


def test_lines_are_completed_from_the_registry() -> None:
    assert complete("work", object()) == ["workflows"]
    app = type("App", (), {"theme_names": ["dark", "light"]})()
    assert complete("theme l", app) == ["theme light"]


def test_unknown_ids_and_keys_given_twice_are_refused() -> None:
    assert wrong_keys({"cancel": "X"}) == []
    assert len(wrong_keys({"cancle": "X", "retry": "Y", "why": "Y"})) == 2


def test_options_come_from_the_settings_file(tmp_path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[tui]\ntheme = "light"\nkeys = { cancel = "X" }\n')
    options = read_options(file, {"LANG": "C.UTF-8"})
    assert (options.theme, options.keys, options.ascii) == ("light", {"cancel": "X"}, False)
    assert read_options(tmp_path / "none.toml", {"LANG": "de_DE.ISO-8859-1"}).ascii
    assert read_options(tmp_path / "none.toml", {"TERM": "xterm"}).theme == "contrast"
    assert read_options(tmp_path / "none.toml", {"TERM": "xterm-256color"}).theme == "dark"
    file.write_text('[tui]\ntheme = "pink"\n')
    with pytest.raises(InvalidInput, match="pink"):
        read_options(file, {})


async def test_a_key_may_be_remapped(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1), a_run(2)]
    app = new_app(daemon, keys={"down": "n", "filter": "F"})
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        await pilot.press("n")
        assert app.view.table.current.name == "quiet-otter-0002"
        assert " F filter" in lines_of(pilot)[-1]


async def test_help_shows_the_keys_of_the_view_and_why_one_is_off(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(110, 50)) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Keys of runs" in text_of(pilot))
        line = next(one for one in lines_of(pilot) if "[open]" in one)
        assert "off: there is no run" in line
        await pilot.press("escape")
        await until(pilot, lambda: "Keys of runs" not in text_of(pilot))


async def test_a_key_that_is_off_says_why_when_it_is_pressed(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("enter")
        await until(pilot, lambda: "open: there is no run" in text_of(pilot))


async def test_read_only_turns_off_what_changes_something(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "running")]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: "read-only" in lines_of(pilot)[0])
        assert "read-only" in str(app.view.why_not(KEYS["cancel"]))


async def test_a_command_is_typed_completed_and_obeyed(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("colon", *"exec", "tab", "enter")
        await until(pilot, lambda: "executors" in lines_of(pilot)[0])
        await pilot.press("colon", *"nonsense", "enter")
        await until(pilot, lambda: "there is no command" in text_of(pilot))
        assert "see ? or ctrl+p" in text_of(pilot)


async def test_escape_leaves_the_command_line_and_the_list_has_the_keys_again(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(1), a_run(2)]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        await pilot.press("colon", "j", "escape", "j")
        assert app.view.table.current.name == "quiet-otter-0002"


async def test_the_palette_finds_a_command_by_its_words(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("ctrl+p", *"show trig")
        await until(pilot, lambda: re.search(r"triggers +show triggers", text_of(pilot)))
        await pilot.press("enter")
        await until(pilot, lambda: "triggers" in lines_of(pilot)[0])


async def test_a_filter_is_carried_out_by_the_server_and_escape_lets_go_of_it(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(1), a_run(2, "failed")]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(
            pilot, lambda: len(app.view.table.rows) == 2 if app.view and app.view.table else False
        )
        await pilot.press("slash", *"state=failed dur>5s", "enter")
        await until(pilot, lambda: len(app.view.table.rows) == 1)
        asked = daemon.asked_for("GET", "/api/v1/runs")[-1].query
        assert {("state", "failed"), ("longer", "5.0")} <= set(asked)
        assert "state=failed" in lines_of(pilot)[0]
        await pilot.press("escape")
        await until(pilot, lambda: len(app.view.table.rows) == 2)


async def test_a_wrong_filter_is_told_and_changes_nothing(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1)]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        await pilot.press("slash", *"state=bad", "enter")
        await until(pilot, lambda: "there is no such state" in text_of(pilot))
        assert len(app.view.table.rows) == 1


async def test_sorting_asks_the_server_and_shows_it_in_the_head(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1)]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        await pilot.press("s", "s", "s", "s")
        await until(
            pilot,
            lambda: ("sort", "-duration") in daemon.asked_for("GET", "/api/v1/runs")[-1].query,
        )
        assert "TOOK↓" in text_of(pilot)


async def test_the_theme_changes_and_is_told(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("T")
        await until(pilot, lambda: app.theme == "light")
        await pilot.press("colon", *"theme contrast", "enter")
        await until(pilot, lambda: app.theme == "contrast")


async def test_what_was_done_is_shown_as_commands(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        app.record.add(app.now(), "runs", "cancel", "a b")
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "flowdapt runs cancel 'a b'" in text_of(pilot))


async def test_what_is_shown_is_exported_to_a_new_file_only(daemon: FakeDaemon, tmp_path) -> None:
    daemon.runs = [a_run(1)]
    app = new_app(daemon)
    target = tmp_path / "runs.csv"
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        for _ in range(2):
            await pilot.press("ctrl+s")
            await until(pilot, lambda: "Write what is shown" in text_of(pilot))
            app.screen.query_one("#dialog-input").value = str(target)
            await pilot.press("enter")
            await until(pilot, target.exists)
        assert "quiet-otter-0001" in target.read_text()
        await until(pilot, lambda: "File exists" in text_of(pilot))


async def test_a_long_notice_is_read_with_the_keys(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.link.live)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Keys of runs" in text_of(pilot))
        assert "esc close" in text_of(pilot)
        assert "[export]" not in text_of(pilot)
        await pilot.press("space", "space", "space", "j")
        await until(pilot, lambda: "[export]" in text_of(pilot))
