from __future__ import annotations

from tests.tui.fake import FakeDaemon, a_run, an_event, new_app
from tests.tui.waiting import lines_of, until


async def test_runs_are_listed_with_their_states(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "running"), a_run(2, "failed", reason="timeout")]
    async with new_app(daemon).run_test(size=(120, 20)) as pilot:
        lines = await until(pilot, lambda: [one for one in lines_of(pilot) if "otter-0002" in one])
        assert "✖ failed" in lines[0]


async def test_an_event_changes_a_row_where_it_stands(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number, "running") for number in range(1, 50)]
    app = new_app(daemon)
    async with app.run_test(size=(100, 20)) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        table = app.view.table
        await pilot.press("j", "j", "space", "j", "j")
        before = table.current_key, set(table.marks), table.scroll_y
        ended = a_run(2, "finished")
        daemon.tell(an_event("workflow.workflow_finished", ended, cursor=7))
        await until(pilot, lambda: table.rows[1].state == "finished")
        assert (table.current_key, set(table.marks), table.scroll_y) == before
