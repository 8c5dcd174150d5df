from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.run import Run, StageRun
from flowdapt.tui.model.gantt import Paces, Piece, Scale, Timeline, Zoom, bar_of, words_of
from tests.tui.fake import NOW
from tests.tui.furnished_run import a_stage, the_run

SIGNS = ("x", "+", "-")


def a_line(run: dict[str, Any] | None = None) -> tuple[Run, Timeline]:
    made = Run.model_validate(run or the_run())
    return made, Timeline.of(made, NOW)


def test_bars_stand_where_their_stages_were() -> None:
    run, line = a_line()
    scale = line.scale(59, Zoom())
    assert line.span == 59.0
    load, clean = (bar_of(stage, line, scale) for stage in run.stages[:2])
    assert load == [Piece("done", 12), Piece("gap", 47)]
    assert clean == [Piece("gap", 13), Piece("done", 6), Piece("gap", 40)]


def test_a_bar_of_an_open_map_is_filled_as_far_as_it_is() -> None:
    run, line = a_line()
    pieces = bar_of(run.stages[3], line, line.scale(59, Zoom()))
    assert pieces == [Piece("gap", 21), Piece("done", 23), Piece("rest", 15)]


def test_a_stage_that_has_not_begun_or_was_taken_over_has_no_bar() -> None:
    run, line = a_line()
    kept = StageRun.model_validate(a_stage("load", "finished", 9000, 3, inherited=True))
    for stage in (run.stages[4], kept):
        assert bar_of(stage, line, line.scale(40, Zoom())) == [Piece("gap", 40)]


def test_a_stage_of_a_moment_has_a_column_of_its_own() -> None:
    run, line = a_line()
    short = bar_of(run.stages[2], line, line.scale(30, Zoom()))
    assert [piece.columns for piece in short if piece.kind == "done"] == [1]


@given(
    width=st.integers(1, 200), begin=st.floats(0, 59), took=st.floats(0, 100),
    factor=st.floats(1, 500), left=st.floats(0, 1), done=st.integers(0, 50),
)  # fmt: skip
def test_every_line_is_as_wide_as_the_chart(
    width: int, begin: float, took: float, factor: float, left: float, done: int
) -> None:
    items = {"total": 40, "finished": done, "failed": 0}
    stage = StageRun.model_validate(a_stage("a", "running", begin, took, items=items))
    _, line = a_line()
    pieces = bar_of(stage, line, line.scale(width, Zoom(factor).moved(left)))
    assert sum(piece.columns for piece in pieces) == width
    assert all(piece.columns > 0 for piece in pieces)


@pytest.mark.parametrize("span", [0.01, 1, 7, 59, 61, 400, 3600, 90_000, 3_000_000])
def test_the_axis_has_a_few_round_marks(span: float) -> None:
    ticks = Scale(0.0, float(span), 60).ticks()
    assert 2 <= len(ticks) <= 8
    assert ticks[0] == (0, "0")
    assert [column for column, _ in ticks] == sorted({column for column, _ in ticks})


def test_zooming_keeps_the_middle_and_stays_within_the_run() -> None:
    zoom = Zoom().by(2)
    assert (zoom.factor, zoom.left) == (2.0, 0.25)
    assert zoom.moved(-9).left == 0.0
    assert zoom.moved(9).left == 0.5
    assert zoom.by(0.25) == Zoom()


def test_folded_words_say_how_many_and_how_far() -> None:
    run, _ = a_line()
    assert words_of(run.stages[3], glyphs=SIGNS) == "x40 23+ 2-"
    told = StageRun.model_validate(a_stage("a", "running", 3, None, progress=[3, 12]))
    assert words_of(told, glyphs=SIGNS) == "3/12"
    again = StageRun.model_validate(a_stage("a", "running", 3, None, attempt=3))
    assert words_of(again, glyphs=SIGNS) == "try 3"


def test_the_end_is_told_from_the_pace_of_late() -> None:
    paces = Paces()

    def at(second: int, done: int) -> tuple[Run, Any]:
        items = {"total": 40, "finished": done, "failed": 0}
        stage = a_stage("process", "running", 100, items=items)
        return Run.model_validate(the_run() | {"stages": [stage]}), NOW + timedelta(seconds=second)

    run, now = at(0, 10)
    paces.note(run, now)
    assert paces.left_s(run.stages[0], now) == pytest.approx(300)
    for second in range(1, 6):
        run, now = at(second, 10 + 2 * second)
        paces.note(run, now)
    assert paces.left_s(run.stages[0], now) == pytest.approx(10)
    assert paces.rates(run.stages[0]) == [2.0] * 5


def test_nothing_is_foretold_of_what_has_ended_or_says_nothing() -> None:
    run, _ = a_line(the_run("failed"))
    paces = Paces()
    paces.note(run, NOW)
    assert [paces.left_s(stage, NOW) for stage in run.stages] == [None] * 6
