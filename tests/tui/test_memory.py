"""What a workstation that is open for days holds on to."""

from __future__ import annotations

import gc
from typing import Any

from textual.strip import Strip

from tests.tui.fake import FakeDaemon, new_app
from tests.tui.furnished import furnish
from tests.tui.waiting import until


def drawn_lines() -> int:
    gc.collect()
    return sum(type(one) is Strip for one in gc.get_objects())


async def look_in(pilot: Any, times: int) -> None:
    """Open a page and a dialog, and close both, so many times."""
    for _ in range(times):
        for key in ("enter", "question_mark"):
            depth = len(pilot.app.screen_stack)
            await pilot.press(key)
            await until(pilot, lambda depth=depth: len(pilot.app.screen_stack) > depth)
            await pilot.pause(0.1)
            await pilot.press("escape")
            await until(pilot, lambda depth=depth: len(pilot.app.screen_stack) == depth)


async def test_the_lines_of_closed_screens_are_let_go_of(daemon: FakeDaemon) -> None:
    app = new_app(furnish(daemon), "workflows")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: app.view.table.rows)
        # Caches of Textual fill up to their bound at first, the more the more tests ran before.
        await look_in(pilot, 4)
        before = drawn_lines()
        await look_in(pilot, 8)
        # A page and a dialog are some 300 lines each: kept, they would be 4,800.
        assert drawn_lines() < before + 2000
