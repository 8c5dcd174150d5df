from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from flowdapt.domain.run import Run
from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.widgets.table import PagedTable
from tests.tui.fake import FakeDaemon, a_run, an_event, new_app
from tests.tui.waiting import lines_of, text_of, until


async def table_of(pilot: Pilot[Any], count: int) -> PagedTable[Run]:
    app = pilot.app
    assert isinstance(app, FlowdaptApp)
    return await until(
        pilot, lambda: app.view.table if app.view and app.view.table and len(app.view.table.rows) >= count else None
    )  # fmt: skip


def seen(pilot: Pilot[Any]) -> list[str]:
    """Return the names in sight, from the top."""
    return [
        word for line in lines_of(pilot) for word in line.split() if word.startswith("quiet-otter")
    ]


async def test_newer_runs_move_neither_cursor_nor_scroll_nor_marks(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number) for number in range(100, 180)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 80)
        await pilot.press("space", "space", *["j"] * 40)
        await pilot.pause()
        before, key, marks = seen(pilot), table.current_key, set(table.marks)
        daemon.runs = [a_run(number, "running") for number in range(90, 100)] + daemon.runs
        daemon.tell(an_event("workflow.workflow_started", daemon.runs[0], cursor=5))
        await until(pilot, lambda: len(table.rows) == 90)
        await pilot.pause()
        assert (seen(pilot), table.current_key, table.marks) == (before, key, marks)


async def test_at_the_top_newer_runs_are_seen_and_the_cursor_stays_on_its_run(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(number) for number in range(100, 180)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 80)
        key = table.current_key
        daemon.runs = [a_run(99, "running"), *daemon.runs]
        daemon.tell(an_event("workflow.workflow_started", daemon.runs[0], cursor=5))
        await until(pilot, lambda: seen(pilot)[0] == "quiet-otter-0099")
        assert table.current_key == key
        assert table.scroll_y == 0


async def test_a_run_that_is_deleted_leaves_the_cursor_at_its_place(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number) for number in range(1, 10)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 9)
        await pilot.press("j", "j")
        daemon.runs.pop(2)
        daemon.tell(an_event("workflow.workflow_deleted", a_run(3), cursor=5))
        await until(pilot, lambda: len(table.rows) == 8)
        assert table.current is not None
        assert table.current.name == "quiet-otter-0004"


async def test_pages_are_loaded_as_the_cursor_goes_down(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number) for number in range(1, 451)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 200)
        await pilot.press("G")
        await until(pilot, lambda: len(table.rows) == 400)
        assert table.current is not None
        assert table.current.name == "quiet-otter-0200"
        await pilot.press("G")
        await until(pilot, lambda: len(table.rows) == 450)


async def test_keys_move_the_cursor_and_keep_it_in_sight(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number) for number in range(1, 60)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 59)
        for key, name in (("j", 2), ("down", 3), ("k", 2), ("G", 59), ("g", 1), ("pagedown", 21)):
            await pilot.press(key)
            await pilot.pause()
            assert table.current is not None
            assert table.current.name == f"quiet-otter-{name:04d}"
            assert table.current.name in seen(pilot)


async def test_a_click_puts_the_cursor_on_a_row(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number) for number in range(1, 10)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 9)
        await pilot.click(PagedTable, offset=(10, 4))
        assert table.current is not None
        assert table.current.name == "quiet-otter-0004"


async def test_marks_choose_many_rows_and_none_means_the_one_under_the_cursor(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(number) for number in range(1, 6)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 5)
        assert [run.name for run in table.chosen] == ["quiet-otter-0001"]
        await pilot.press("space", "j", "space")
        assert [run.name for run in table.chosen] == ["quiet-otter-0001", "quiet-otter-0003"]
        await pilot.press("ctrl+a")
        assert len(table.chosen) == 5
        await pilot.press("ctrl+a")
        assert len(table.chosen) == 1


async def test_a_narrow_terminal_keeps_state_name_and_workflow(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "failed", workflow="nightly-training-of-everything", reason="timeout")]
    async with new_app(daemon).run_test(size=(60, 10)) as pilot:
        await table_of(pilot, 1)
        await pilot.pause()
        line = next(one for one in lines_of(pilot) if "failed" in one)
        assert "quiet-otter-" in line
        assert "nightly-" in line
        assert max(len(one) for one in lines_of(pilot)) <= 60


async def test_what_an_error_says_is_drawn_escaped(daemon: FakeDaemon) -> None:
    hostile = "\x1b]52;c;aGk=\x07\x1b[8m\x9b31m\u202egood\r\nnext"
    error = {
        "type": "builtins.ValueError",
        "message": hostile,
        "traceback": hostile,
        "stage": hostile,
    }
    daemon.runs = [a_run(1, "failed", error=error, workflow="w")]
    async with new_app(daemon).run_test(size=(160, 30)) as pilot:
        await table_of(pilot, 1)
        await until(pilot, lambda: r"\x1b]52" in text_of(pilot))
        assert not any(char in text_of(pilot) for char in "\x1b\x07\x9b\u202e\r")


async def test_a_list_is_written_as_csv_without_formulas(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, name="=cmd()")]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 1)
        head, row = table.as_csv().splitlines()
        assert head.startswith("state,name,workflow")
        assert "'=cmd()" in row


async def test_a_burst_of_runs_leaves_the_cursor_on_its_run(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number) for number in range(1000, 1030)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 30)
        await pilot.press("j", "j")
        daemon.runs = [a_run(number) for number in range(600, 1030)]
        daemon.tell(an_event("workflow.workflow_queued", daemon.runs[0], cursor=5))
        await until(pilot, lambda: len(table.rows) == 430)
        assert table.current is not None
        assert table.current.name == "quiet-otter-1002"


async def test_open_runs_far_down_are_read_again_after_a_restart(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number) for number in range(1, 401)]
    daemon.runs[300] = a_run(301, "running")
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        table = await table_of(pilot, 200)
        await pilot.press("G")
        await until(pilot, lambda: len(table.rows) == 400)
        daemon.die()
        daemon.runs[300] = a_run(301, "failed")
        await until(pilot, lambda: "reconnecting" in text_of(pilot))
        daemon.come_back()
        await until(pilot, lambda: table.rows[300].state == "failed")
