from __future__ import annotations

from typing import Any

from flowdapt.tui.model.events import MOST, EventWindow, about, causes, effects


def event(cursor: int, kind: str = "mine.here", **more: Any) -> dict[str, Any]:
    return {"cursor": cursor, "id": f"e{cursor}", "type": f"com.event.{kind}", **more}


FINISHED = event(1, "workflow.workflow_finished", run="r1")
FIRED = event(2, "trigger.fired", data={"rule": "next", "runs": ["r2"], "event_cursor": 1})
STARTED = event(3, "workflow.workflow_started", run="r2")
STAGE = event(4, "workflow.stage_finished", run="r2")
ALL = [FINISHED, FIRED, STARTED, STAGE]


def test_an_event_is_followed_up_to_its_first_cause() -> None:
    assert causes(STAGE, ALL) == [FIRED, FINISHED]
    assert causes(FINISHED, ALL) == []


def test_an_event_is_followed_down_to_what_it_started() -> None:
    assert effects(FINISHED, ALL) == [FIRED, STARTED]
    assert effects(FIRED, ALL) == [STARTED]
    assert effects(STAGE, ALL) == []


def test_a_circle_of_causes_ends() -> None:
    one = event(1, "trigger.fired", data={"event_cursor": 2, "runs": ["a"]})
    two = event(2, "trigger.fired", data={"event_cursor": 1, "runs": ["b"]})
    assert causes(one, [one, two]) == [two, one]


def test_the_window_keeps_the_newest_and_never_one_twice() -> None:
    window = EventWindow()
    window.take([event(cursor) for cursor in range(1, MOST + 11)])
    assert len(window.rows) == MOST
    assert window.rows[0]["cursor"] == MOST + 10
    assert window.apply([event(MOST + 10), event(MOST + 11)])
    assert len({one["cursor"] for one in window.rows}) == MOST


def test_what_is_held_only_counts() -> None:
    window = EventWindow(held=True)
    assert not window.apply([event(1), event(2)])
    assert (window.rows, window.waiting) == ([], 2)


def test_words_and_patterns_must_all_fit() -> None:
    window = EventWindow()
    window.take([event(1, "a.done", data={"name": "x"}), event(2, "a.failed", data={"name": "y"})])
    for sought, found in (("a.*", 2), ("*done", 1), ("x", 1), ("a.* y", 1), ("done y", 0)):
        window.sought = sought
        assert len(window.rows) == found, sought


def test_an_event_is_told_in_few_words_whatever_it_holds() -> None:
    assert about(event(1, data=None, subject="daemon")) == "daemon"
    assert about(event(1, data={"error": {"type": "E", "message": "m"}})) == "E: m"
    assert about(event(1, data=[1])) == ""
