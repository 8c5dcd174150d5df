from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowdapt.client.wire import Request
from flowdapt.tui.model.logs import MOST, PAGE, LogChoice, LogWindow
from tests.tui.furnished_run import Log


def ask(log: Log, question: dict[str, Any]) -> dict[str, Any]:
    query = [
        (name, str(one).lower() if isinstance(one, bool) else str(one))
        for name, one in question.items()
        if one is not None
    ]
    return log.page(Request("GET", "/logs", tuple(query)))


def numbers(window: LogWindow) -> list[int]:
    return [line.number for line in window.lines]


def at_end(log: Log, choice: LogChoice | None = None) -> LogWindow:
    window = LogWindow(choice or LogChoice())
    window.take_end(ask(log, window.the_end()))
    return window


def test_opening_takes_the_last_page_only() -> None:
    window = at_end(Log(10_000))
    assert numbers(window) == list(range(10_001 - PAGE, 10_001))
    assert (window.at_start, window.at_end, window.total) == (False, True, 10_000)


def test_going_up_page_by_page_holds_a_bounded_window_without_gaps() -> None:
    log = Log(10_000)
    window = at_end(log)
    while not window.at_start:
        window.take_older(ask(log, window.older()))
        assert len(window.lines) <= MOST
        assert numbers(window) == list(range(window.lines[0].number, window.lines[-1].number + 1))
    assert window.lines[0].number == 1
    assert not window.at_end
    while not window.at_end:
        window.take_newer(ask(log, window.newer()))
        assert numbers(window) == list(range(window.lines[0].number, window.lines[-1].number + 1))
    assert window.lines[-1].number == 10_000


def test_new_lines_come_behind_the_old_ones() -> None:
    log = Log(20)
    window = at_end(log)
    log.add(3)
    window.take_newer(ask(log, window.newer()))
    assert numbers(window) == list(range(1, 24))
    assert window.total == 23


def test_a_line_far_away_is_taken_with_those_around_it() -> None:
    log = Log(10_000)
    window = at_end(log)
    before, behind = window.around(4000)
    window.take_around(ask(log, before), ask(log, behind))
    assert window.lines[window.place_of(4000)].number == 4000
    assert len(window.lines) == PAGE
    assert (window.at_start, window.at_end) == (False, False)


def test_matches_alone_are_paged_with_their_context_and_none_twice() -> None:
    log = Log(150_000)
    choice = LogChoice(sought="NaN", only=True, context=2)
    window = at_end(log, choice)
    assert [at for at in numbers(window) if at % 100 == 0] == list(range(100_100, 150_001, 100))
    window.take_older(ask(log, window.older()))
    assert numbers(window) == sorted(set(numbers(window)))
    assert window.lines[0].number < 100_000


def test_levels_go_up_and_begin_anew() -> None:
    choice, seen = LogChoice(), []
    for _ in range(5):
        choice = choice.next_level()
        seen.append(choice.level)
    assert seen == ["info", "warning", "error", "critical", None]


def test_matches_are_shown_among_all_then_alone_then_with_context() -> None:
    choice, seen = LogChoice(sought="NaN"), []
    for _ in range(4):
        choice = choice.next_context()
        seen.append((choice.parameters.get("grep"), choice.parameters.get("context")))
    assert seen == [("NaN", 0), ("NaN", 2), ("NaN", 5), (None, None)]
    assert replace(choice, sought="NaN").words == "/NaN"


def test_a_window_of_another_choice_knows_nothing() -> None:
    window = at_end(Log(50))
    window.reset(LogChoice(stage="load"))
    assert (window.lines, window.loaded) == ([], False)
    assert window.choice.words == "load"


def test_what_came_is_counted_where_all_lines_are_shown_and_told_of_where_not() -> None:
    log = Log(20)
    for choice, told in ((LogChoice(), "3 new"), (LogChoice(level="debug"), "new lines")):
        window = at_end(log, choice)
        assert window.unseen == ""
        log.add(3)
        window.take_newest(ask(log, window.the_newest()))
        assert window.unseen == told


def test_what_came_and_does_not_fit_is_not_told_of() -> None:
    log = Log(20)
    window = at_end(log, LogChoice(stage="load"))
    log.add(3, stage="process")
    window.take_newest(ask(log, window.the_newest()))
    assert (window.unseen, window.total) == ("", 23)
