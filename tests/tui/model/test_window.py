from __future__ import annotations

from typing import Any

from flowdapt.domain.events import WORKFLOW_STARTED
from flowdapt.domain.run import Run
from flowdapt.tui.model.query import Query, parse_filter
from flowdapt.tui.model.runs import PAGE, PAGES, RunWindow
from tests.tui.fake import a_run, an_event


def runs(first: int, count: int = PAGE, **more: Any) -> list[Run]:
    return [Run.model_validate(a_run(number, **more)) for number in range(first, first + count)]


def numbers(window: RunWindow) -> list[int]:
    return [int(run.uid, 16) for run in window.rows]


def full() -> RunWindow:
    window = RunWindow()
    window.add_first(runs(0), "p1")
    for page in range(1, PAGES):
        window.add_below(runs(page * PAGE), f"p{page + 1}")
    return window


def test_newer_runs_join_at_the_top() -> None:
    window = RunWindow()
    window.add_first(runs(5, 10), "p1")
    window.add_first(runs(3, 10), "p1")
    assert numbers(window) == list(range(3, 15))


def test_a_page_that_overlaps_nothing_begins_the_window_anew() -> None:
    window = RunWindow()
    window.add_first(runs(500, 10), "p1")
    window.add_first(runs(0, 10), "p0")
    assert numbers(window) == list(range(10))
    assert window.next_cursor == "p0"


def test_a_window_holds_two_thousand_runs_at_most() -> None:
    window = full()
    assert len(window) == 2000
    window.add_below(runs(PAGES * PAGE), "p11")
    assert len(window) == 2000
    assert numbers(window)[0] == PAGE
    assert window.previous_cursor == (None,)


def test_the_pages_above_come_back() -> None:
    window = full()
    window.add_below(runs(PAGES * PAGE), "p11")
    window.add_above(runs(0), "p1")
    assert numbers(window)[0] == 0
    assert len(window) == 2000
    assert window.previous_cursor is None
    assert window.next_cursor == f"p{PAGES}"


def test_newer_runs_push_out_the_oldest_page_not_more_than_two_thousand() -> None:
    window = RunWindow()
    for start in range(5000, 0, -100):
        window.add_first(runs(start), "next")
    assert len(window) == 2000
    assert numbers(window)[0] == 100


def test_below_the_top_the_first_page_is_left_alone() -> None:
    window = full()
    window.add_below(runs(PAGES * PAGE), "p11")
    before = numbers(window)
    window.add_first(runs(0), "p1")
    assert numbers(window) == before


def test_an_event_changes_a_run_in_place() -> None:
    window = RunWindow()
    window.add_first(runs(1, 3, state="running"), None)
    changed, again = window.apply([an_event("workflow.workflow_finished", a_run(2, "failed"))])
    assert changed == {runs(2, 1)[0].uid}
    assert not again
    assert [run.state.value for run in window.rows] == ["running", "failed", "running"]


def test_a_run_that_has_ended_is_not_opened_again_by_a_late_event() -> None:
    window = RunWindow()
    window.add_first(runs(1, 1), None)
    window.apply([an_event("workflow.workflow_started", a_run(1, "running"))])
    assert window.rows[0].state.value == "finished"


def test_an_unknown_run_asks_for_the_first_page() -> None:
    window = RunWindow()
    window.add_first(runs(1, 1), None)
    assert window.apply([an_event("workflow.workflow_queued", a_run(0, "queued"))]) == (set(), True)


def test_a_deleted_run_leaves() -> None:
    window = RunWindow()
    window.add_first(runs(1, 3), None)
    window.apply([an_event("workflow.workflow_deleted", a_run(2))])
    assert numbers(window) == [1, 3]


def test_an_event_that_makes_no_sense_asks_again_and_changes_nothing() -> None:
    window = RunWindow()
    window.add_first(runs(1, 1, state="running"), None)
    odd = an_event("workflow.workflow_finished", a_run(1, "melted"))
    assert window.apply([odd, {"type": "x"}, {"type": WORKFLOW_STARTED, "data": 3}])[1]
    assert window.rows[0].state.value == "running"


def test_with_another_order_newer_runs_do_not_jump_to_the_top() -> None:
    window = RunWindow(Query(sort="duration"))
    window.add_first(runs(5, 10), None)
    window.add_first(runs(4, 10), None)
    assert numbers(window) == list(range(4, 14))


def test_another_filter_begins_anew() -> None:
    window = RunWindow()
    window.add_first(runs(1, 3), "p1")
    window.reset(parse_filter("state=failed"))
    assert not window.loaded
    assert len(window) == 0
    assert window.next_cursor is None


def test_a_burst_is_read_down_to_what_is_known() -> None:
    window = RunWindow()
    assert window.meets(runs(0, 3))
    window.add_first(runs(100, 10), "p1")
    assert not window.meets(runs(0, 50))
    assert window.meets(runs(0, 101))
    assert window.meets(runs(5000, PAGE * PAGES))
