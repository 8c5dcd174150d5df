"""What is due of a rule at a given time: on time, made up for, or missed (F45 to F47)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowdapt.domain.firing import CatchUp, Due, Missed, RuleClock, Slot, decide
from flowdapt.domain.interval import Interval
from flowdapt.domain.schedule import parse_schedule
from flowdapt.domain.timing import MAX_COUNTED, Times

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EACH_MINUTE = parse_schedule("* * * * *", "Europe/Berlin")
EACH_HOUR = parse_schedule("0 * * * *")
NIGHTLY = parse_schedule("0 3 * * *")
POLICIES: tuple[CatchUp, ...] = ("none", "latest", "all")


def clock(last: datetime, not_before: datetime | None = None) -> RuleClock:
    return RuleClock(1, not_before or last, last)


def due(
    times: Times, last: datetime, now: datetime, catch_up: CatchUp = "latest", grace_s: float = 60
) -> Due:
    return decide(times, clock(last), now, catch_up=catch_up, grace_s=grace_s)


def on_time(*instants: datetime) -> tuple[Slot, ...]:
    return tuple(Slot(instant, late=False) for instant in instants)


# -- on time ---------------------------------------------------------------------------------------


def test_a_slot_is_due_at_its_instant_and_the_next_one_is_told() -> None:
    found = due(EACH_MINUTE, NOON - timedelta(seconds=30), NOON)
    assert found == Due(on_time(NOON), None, NOON, NOON + MINUTE)


def test_a_moment_before_its_instant_nothing_is_due() -> None:
    almost = NOON - timedelta(microseconds=1)
    found = due(EACH_MINUTE, NOON - timedelta(seconds=30), almost)
    assert found == Due((), None, almost, NOON)


@pytest.mark.parametrize("catch_up", POLICIES)
def test_within_the_grace_a_slot_is_on_time_the_end_included(catch_up: CatchUp) -> None:
    last = NOON - timedelta(seconds=5)
    edge = NOON + timedelta(seconds=60)
    assert due(EACH_HOUR, last, edge, catch_up).fire == on_time(NOON)
    beyond = due(EACH_HOUR, last, edge + timedelta(microseconds=1), catch_up)
    assert beyond.fire == (() if catch_up == "none" else (Slot(NOON, late=True),))
    assert beyond.missed == (Missed(1, NOON, NOON) if catch_up == "none" else None)


@pytest.mark.parametrize("catch_up", POLICIES)
def test_without_grace_only_the_very_second_is_on_time(catch_up: CatchUp) -> None:
    assert due(EACH_HOUR, NOON - MINUTE, NOON, catch_up, grace_s=0).fire == on_time(NOON)


def test_what_was_evaluated_is_never_due_again() -> None:
    assert due(EACH_MINUTE, NOON, NOON).fire == ()
    assert due(EACH_MINUTE, NOON, NOON + timedelta(seconds=59)).fire == ()


def test_what_lies_before_a_rule_s_beginning_is_never_due() -> None:
    new = RuleClock(2, not_before=NOON, last_evaluated_at=NOON - timedelta(days=1))
    found = decide(EACH_MINUTE, new, NOON + MINUTE, catch_up="all", grace_s=60)
    assert found.fire == on_time(NOON + MINUTE)
    assert found.missed is None


def test_before_its_beginning_a_rule_waits() -> None:
    new = RuleClock(2, not_before=NOON, last_evaluated_at=NOON - timedelta(days=1))
    found = decide(EACH_MINUTE, new, NOON - 5 * MINUTE, catch_up="all", grace_s=60)
    assert found == Due((), None, new.last_evaluated_at, NOON + MINUTE)


# -- missed (F45) ----------------------------------------------------------------------------------

TEN_MINUTES = timedelta(minutes=10)
THREE_DAYS = timedelta(days=3)


@pytest.mark.parametrize(
    ("down", "catch_up", "late", "missed"),
    [
        # At noon the slots of 11:59 and 12:00 are on time; those before are missed.
        (TEN_MINUTES, "none", 0, 8),
        (TEN_MINUTES, "latest", 1, 7),
        (TEN_MINUTES, "all", 8, 0),
        (THREE_DAYS, "none", 0, 4318),
        (THREE_DAYS, "latest", 1, 4317),
        (THREE_DAYS, "all", 100, 4218),
    ],
)
def test_what_was_missed_while_down_is_made_up_for_as_the_rule_says(
    down: timedelta, catch_up: CatchUp, late: int, missed: int
) -> None:
    found = due(EACH_MINUTE, NOON - down, NOON, catch_up)
    made_up = [slot.scheduled_at for slot in found.fire if slot.late]
    assert [s.scheduled_at for s in found.fire if not s.late] == [NOON - MINUTE, NOON]
    assert made_up == [NOON - MINUTE * (late + 1 - i) for i in range(late)]
    if missed:
        last = NOON - MINUTE * (late + 2)
        assert found.missed == Missed(missed, NOON - down + MINUTE, last)
    else:
        assert found.missed is None
    assert (found.evaluated_to, found.next_at) == (NOON, NOON + MINUTE)


def test_all_reaches_back_for_a_day_and_no_further() -> None:
    found = due(EACH_HOUR, NOON - THREE_DAYS, NOON + timedelta(minutes=30), "all")
    made_up = [slot.scheduled_at for slot in found.fire]
    assert len(made_up) == 24
    assert made_up[0] == NOON - timedelta(hours=23)
    assert found.missed == Missed(48, NOON - THREE_DAYS + 60 * MINUTE, NOON - timedelta(days=1))


def test_the_window_includes_its_edge() -> None:
    found = due(EACH_HOUR, NOON - THREE_DAYS, NOON, "all", grace_s=0)
    assert found.fire[0] == Slot(NOON - timedelta(days=1), late=True)


def test_the_newest_is_made_up_for_however_old_it_is() -> None:
    yearly = parse_schedule("0 0 1 1 *")
    found = due(yearly, datetime(2023, 6, 1, tzinfo=UTC), NOON, "latest")
    assert found.fire == (Slot(datetime(2026, 1, 1, tzinfo=UTC), late=True),)
    first, last = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
    assert found.missed == Missed(2, first, last)


def test_more_missed_slots_than_anybody_counts_are_told_as_at_least() -> None:
    found = due(EACH_MINUTE, NOON - timedelta(days=3650), NOON, "none")
    assert found.missed == Missed(
        MAX_COUNTED, NOON - timedelta(days=3650) + MINUTE, NOON - 2 * MINUTE, capped=True
    )


def test_the_night_that_a_laptop_slept_through_is_made_up_for_once() -> None:
    evening, morning = NOON - timedelta(hours=14), NOON - timedelta(hours=4)
    found = due(NIGHTLY, evening, morning)
    assert found.fire == (Slot(NOON - timedelta(hours=9), late=True),)
    assert due(NIGHTLY, found.evaluated_to, morning + MINUTE).fire == ()


def test_too_many_on_time_come_in_turns_and_none_is_lost() -> None:
    second = Interval(1, NOON)
    rule, slots, looks = clock(NOON), [], 0
    now = NOON + timedelta(seconds=250)
    while looks < 10:
        found = decide(second, rule, now, catch_up="none", grace_s=3600)
        assert len(found.fire) <= 100
        assert found.missed is None
        slots += [slot.scheduled_at for slot in found.fire]
        rule, looks = clock(found.evaluated_to), looks + 1
        if found.next_at is not None and found.next_at > now:
            break
    assert slots == [NOON + timedelta(seconds=i) for i in range(1, 251)]
    assert looks == 3


# -- daylight saving (F46) -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "slot"),
    [("2026-03-29", "2026-03-29T01:00Z"), ("2026-10-25", "2026-10-25T00:30Z")],
)
def test_over_a_night_when_clocks_change_a_fixed_time_fires_once(day: str, slot: str) -> None:
    times = parse_schedule("30 2 * * *", "Europe/Berlin")
    rule = clock(datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=3))
    fired: list[Slot] = []
    now = rule.last_evaluated_at
    for _ in range(20 * 60):
        now += MINUTE
        found = decide(times, rule, now, catch_up="latest", grace_s=60)
        fired += found.fire
        rule = clock(found.evaluated_to)
    assert fired == [Slot(datetime.fromisoformat(slot), late=False)]


# -- clocks that are set (F47) ---------------------------------------------------------------------


def test_a_clock_that_went_back_fires_nothing_again() -> None:
    back = NOON - timedelta(hours=2)
    found = due(EACH_MINUTE, NOON, back, "all")
    assert found == Due((), None, NOON, NOON + MINUTE, set_back=True)


def test_when_the_time_has_passed_again_the_rule_goes_on() -> None:
    assert due(EACH_MINUTE, NOON, NOON + MINUTE).fire == on_time(NOON + MINUTE)


@pytest.mark.parametrize(("catch_up", "late"), [("none", 0), ("latest", 1), ("all", 8)])
def test_the_slots_that_a_clock_jumped_over_are_missed(catch_up: CatchUp, late: int) -> None:
    """That it jumped is told by the trigger service, which watches it."""
    found = decide(EACH_MINUTE, clock(NOON - TEN_MINUTES), NOON, catch_up=catch_up, grace_s=60)
    assert sum(slot.late for slot in found.fire) == late


def test_a_clock_set_to_the_end_of_time_ends_quickly() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    for times in (EACH_MINUTE, NIGHTLY, parse_schedule("0 0 29 2 */7"), Interval(1, NOON)):
        found = decide(times, clock(NOON), end, catch_up="all", grace_s=60)
        assert found.missed is not None
        assert found.next_at is None


@pytest.mark.parametrize("grace_s", [3.2e8, 1e11])
def test_a_grace_of_ages_reaches_back_to_the_rule_s_beginning(grace_s: float) -> None:
    found = due(NIGHTLY, NOON - THREE_DAYS, NOON, grace_s=grace_s)
    assert len(found.fire) == 3
    assert not any(slot.late for slot in found.fire)


# -- whatever happens ------------------------------------------------------------------------------


@given(
    steps=st.lists(st.integers(-7200, 7200), min_size=1, max_size=30),
    catch_up=st.sampled_from(POLICIES),
    grace_s=st.sampled_from([0.0, 30.0, 60.0, 600.0]),
    times=st.sampled_from(
        [EACH_MINUTE, EACH_HOUR, Interval(7, NOON), parse_schedule(["*/5 * * * *", "*/3 * * * *"])]
    ),
)
@settings(deadline=None, max_examples=80)
def test_however_the_clock_goes_each_slot_is_decided_once(
    steps: list[int], catch_up: CatchUp, grace_s: float, times: Times
) -> None:
    rule, now, decided = clock(NOON), NOON, 0
    fired: list[datetime] = []
    for step in steps:
        now += timedelta(seconds=step)
        found = decide(times, rule, now, catch_up=catch_up, grace_s=grace_s)
        slots = [slot.scheduled_at for slot in found.fire]
        assert all(rule.last_evaluated_at < slot <= now for slot in slots)
        assert all(
            (now - s.scheduled_at).total_seconds() <= grace_s for s in found.fire if not s.late
        )
        decided += len(slots) + (found.missed.count if found.missed else 0)
        fired += slots
        assert found.evaluated_to >= rule.last_evaluated_at
        rule = clock(found.evaluated_to)
    assert fired == sorted(set(fired))
    assert decided == times.count(NOON, rule.last_evaluated_at)
