"""Intervals: how they are read, and that they never drift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.interval import Interval, parse_interval
from flowdapt.domain.schedule import ScheduleError
from flowdapt.domain.timing import instant_of

MADE = datetime(2026, 1, 1, 12, 0, 30, 250_000, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def problems(value: object) -> list[tuple[str, tuple[str | int, ...]]]:
    with pytest.raises(ScheduleError) as refused:
        parse_interval(value, anchor=MADE)
    return [(p.code.removeprefix("interval."), p.loc) for p in refused.value.problems]


def test_without_an_anchor_the_rule_s_making_is_one_in_whole_seconds() -> None:
    interval = parse_interval({"every": "15m"}, anchor=MADE)
    assert interval == Interval(900, MADE.replace(microsecond=0))
    assert interval.after(MADE) == MADE.replace(microsecond=0) + timedelta(minutes=15)


@pytest.mark.parametrize("value", [{"every": 90}, {"every": "90s"}, "1m30s", 90, {"every": 90.0}])
def test_a_duration_is_read_in_any_of_its_forms(value: object) -> None:
    assert parse_interval(value, anchor=MADE).every_s == 90


@pytest.mark.parametrize(
    "anchor",
    ["2026-01-01T00:00:00Z", "2026-01-01 01:00+01:00", "2025-12-31T19:00:00.5-05:00"],
)
def test_an_anchor_is_an_instant_with_a_zone(anchor: str) -> None:
    assert parse_interval({"every": "1h", "anchor": anchor}, anchor=MADE).anchor == MIDNIGHT


def test_an_anchor_may_be_an_instant_of_python() -> None:
    there = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert parse_interval({"every": "1h", "anchor": there}, anchor=MADE).anchor == MIDNIGHT


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"every": "500ms"}, [("too_fine", ("rule", "every"))]),
        ({"every": 0}, [("too_fine", ("rule", "every"))]),
        ({"every": "1500ms"}, [("too_fine", ("rule", "every"))]),
        ({"every": -5}, [("bad_duration", ("rule", "every"))]),
        ({"every": "soon"}, [("bad_duration", ("rule", "every"))]),
        ({"every": True}, [("bad_duration", ("rule", "every"))]),
        ({"every": float("nan")}, [("bad_duration", ("rule", "every"))]),
        ({}, [("bad_duration", ("rule", "every"))]),
        (None, [("bad_duration", ("rule", "every"))]),
        (["15m"], [("bad_duration", ("rule", "every"))]),
        ({"every": "1h", "anchor": "2026-01-01T00:00:00"}, [("bad_anchor", ("rule", "anchor"))]),
        ({"every": "1h", "anchor": "noon"}, [("bad_anchor", ("rule", "anchor"))]),
        ({"every": "1h", "anchor": 5}, [("bad_anchor", ("rule", "anchor"))]),
        ({"every": "1h", "anchor": "0001-01-01T00:00:00+10:00"}, [("bad_anchor", ("rule", "anchor"))]),
        (
            {"each": "1h", "anchor": "noon"},
            [
                ("unknown_key", ("rule", "each")),
                ("bad_duration", ("rule", "every")),
                ("bad_anchor", ("rule", "anchor")),
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_all_at_once(
    value: object, expected: list[tuple[str, tuple[str | int, ...]]]
) -> None:
    assert problems(value) == expected


def test_a_misspelt_key_is_suggested() -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_interval({"evry": "1h"}, anchor=MADE)
    assert refused.value.problems[0].suggestion == "every"


def test_the_anchor_is_a_phase_and_slots_lie_before_it_as_well() -> None:
    interval = Interval(3600, MIDNIGHT + timedelta(minutes=7))
    before = MIDNIGHT - timedelta(days=3)
    assert interval.after(before) == before + timedelta(minutes=7)


def test_clocks_that_change_do_not_touch_an_interval() -> None:
    interval = parse_interval({"every": "1h"}, anchor=MIDNIGHT)
    start = datetime(2026, 3, 28, tzinfo=UTC)
    assert interval.count(start, start + timedelta(days=2)) == 48


@given(
    every=st.integers(1, 10**7),
    phase=st.integers(-(10**9), 3 * 10**9),
    start=st.integers(0, 3 * 10**9),
    length=st.integers(0, 10**6),
)
def test_slots_are_the_anchor_and_whole_steps(
    every: int, phase: int, start: int, length: int
) -> None:
    interval = Interval(every, instant_of(phase))
    since, until = instant_of(start), instant_of(start + length)
    found = interval.between(since, until, 50)
    expected = [s for s in range(start + 1, start + length + 1) if (s - phase) % every == 0]
    assert found == [instant_of(second) for second in expected[:50]]
    assert interval.count(since, until) == len(expected)
    assert interval.latest(since, until) == (instant_of(expected[-1]) if expected else None)
    following = interval.after(since)
    assert following is not None
    assert 0 < (following - since).total_seconds() <= every
    assert (following - instant_of(phase)).total_seconds() % every == 0


def test_years_of_seconds_are_counted_at_once_and_exactly() -> None:
    second = Interval(1, MIDNIGHT)
    assert second.count(MIDNIGHT, MIDNIGHT + timedelta(days=36500)) == 36500 * 86400


def test_at_the_end_of_time_there_is_no_next_slot() -> None:
    assert Interval(3600, MIDNIGHT).after(datetime.max.replace(tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("every", "words"),
    [("15m", "every 15m"), ("1h", "every hour"), ("1d", "every day"), (1, "every second")],
)
def test_an_interval_is_told_in_words(every: object, words: str) -> None:
    interval = parse_interval({"every": every}, anchor=MIDNIGHT)
    assert interval.in_words() == f"{words}, counted from 2026-01-01 00:00:00 UTC"


def test_how_often_a_day_it_fires() -> None:
    assert parse_interval("15m", anchor=MADE).per_day() == 96
    assert parse_interval("2d", anchor=MADE).per_day() == 0.5


def test_days_of_elapsed_time_are_doubted() -> None:
    (doubt,) = parse_interval("2d", anchor=MADE).warnings()
    assert "2 days of elapsed time is another time of day where clocks change" in doubt
    assert parse_interval("90m", anchor=MADE).warnings() == []
