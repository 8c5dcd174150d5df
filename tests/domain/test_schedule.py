"""Schedules: how lines and zones are read, when they fire, also where clocks change, and their words."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flowdapt.domain import zones
from flowdapt.domain.schedule import MAX_LINES, Schedule, ScheduleError, parse_schedule
from flowdapt.domain.timing import MAX_COUNTED, instant_of
from tests.domain.wall_clock import LINES, WallClock

SECOND = timedelta(seconds=1)
NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(line: str | list[str], zone: str, day: str, days: int = 1) -> list[str]:
    """Return the wall-clock times, with the offset, at which a line fires on a day of a zone."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    start, stop = midnight.astimezone(UTC), (midnight + timedelta(days=days)).astimezone(UTC)
    found = parse_schedule(line, zone).between(start - SECOND, stop - SECOND, 5000)
    return [f"{slot.astimezone(ZoneInfo(zone)):%H:%M%z}" for slot in found]


def problems(lines: object, timezone: object = "UTC") -> list[tuple[str, tuple[str | int, ...]]]:
    with pytest.raises(ScheduleError) as refused:
        parse_schedule(lines, timezone)
    return [
        (problem.code.removeprefix("schedule."), problem.loc) for problem in refused.value.problems
    ]


# -- what is read ----------------------------------------------------------------------------------


def test_the_next_slot_lies_strictly_after() -> None:
    schedule = parse_schedule(["0 3 * * *"], "Europe/Berlin")
    three = at("2026-01-10 02:00")
    assert schedule.after(three - SECOND) == three
    assert schedule.after(three) == three + timedelta(days=1)
    assert schedule.after(three - timedelta(microseconds=1)) == three


def test_a_span_leaves_its_start_out_and_takes_its_end_in() -> None:
    schedule = parse_schedule("*/10 * * * *")
    assert schedule.between(at("2026-01-01 00:10"), at("2026-01-01 00:30"), 9) == [
        at("2026-01-01 00:20"),
        at("2026-01-01 00:30"),
    ]
    assert schedule.count(at("2026-01-01 00:10"), at("2026-01-01 00:30")) == 2
    assert schedule.latest(at("2026-01-01 00:10"), at("2026-01-01 00:30")) == at("2026-01-01 00:30")
    assert schedule.latest(at("2026-01-01 00:10"), at("2026-01-01 00:19")) is None


def test_several_lines_fire_once_where_they_meet() -> None:
    assert fires(["0 3 * * *", "0 */3 1 * *"], "UTC", "2026-05-01")[:3] == [
        "00:00+0000",
        "03:00+0000",
        "06:00+0000",
    ]
    both = parse_schedule(["0 3 * * *", "0 3 * * *", "0 4 * * *"])
    assert both.count(at("2026-01-01"), at("2026-01-31")) == 60


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("@hourly", "2026-03-28 13:00"),
        ("@daily", "2026-03-29 00:00"),
        ("@midnight", "2026-03-29 00:00"),
        ("@weekly", "2026-03-29 00:00"),
        ("@monthly", "2026-04-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@Annually", "2027-01-01 00:00"),
        ("  0   4 * * *  ", "2026-03-29 04:00"),
        ("5/20 * * * *", "2026-03-28 12:05"),
        ("0 12 * * 7", "2026-03-29 12:00"),
        ("0 12 * * 0", "2026-03-29 12:00"),
        ("0 12 * * sat-sun", "2026-03-29 12:00"),
        ("0 12 * * 5-0", "2026-03-29 12:00"),
        ("0 11 * jan-mar MON,wed", "2026-03-30 11:00"),
        ("0 0 L * *", "2026-03-31 00:00"),
        ("0 0 LW * *", "2026-03-31 00:00"),
        ("0 0 L 2 *", "2027-02-28 00:00"),
        ("0 0 LW 5 *", "2026-05-29 00:00"),
        ("0 0 * * FRI#2", "2026-04-10 00:00"),
        ("0 0 * * 5L", "2026-04-24 00:00"),
        ("0 0 * * SUNL", "2026-03-29 00:00"),
        ("0 0 * * MON#5", "2026-03-30 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 29 2 */7", "2032-02-29 00:00"),
        ("0 0 13 * 5", "2026-04-03 00:00"),
        ("0 0 */13 * 5", "2026-05-01 00:00"),
    ],
)
def test_a_line_names_its_first_slot(line: str, first: str) -> None:
    assert parse_schedule(line).after(NOW) == at(first)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("*/0 * * * *", "zero_step"),
        ("60 * * * *", "out_of_range"),
        ("0 24 * * *", "out_of_range"),
        ("0 0 0 * *", "out_of_range"),
        ("0 0 * 13 *", "out_of_range"),
        ("0 0 * * 8", "out_of_range"),
        ("0 0 30 2 *", "impossible"),
        ("0 0 31 2,4 *", "impossible"),
        ("0 0 31 2 */2", "impossible"),
        ("," * 10_000, "line_too_long"),
        ("@reboot", "reboot"),
        ("@dayly", "unknown_name"),
        ("@every 5m", "unknown_name"),
        ("* * * * * *", "seconds"),
        ("* * * *", "field_count"),
        ("* * * * * * *", "field_count"),
        ("", "field_count"),
        ("0 22-2 * * *", "backward_range"),
        ("0 0 * * FRI#6", "bad_nth"),
        ("0 0 * * FRI#", "bad_nth"),
        ("*/ * * * *", "bad_step"),
        ("*/x * * * *", "bad_step"),
        ("*/-1 * * * *", "bad_step"),
        ("1, * * * *", "missing_value"),
        ("-1 * * * *", "missing_value"),
        ("1-/2 * * * *", "missing_value"),
        ("1-2-3 * * * *", "bad_value"),
        ("*-5 * * * *", "bad_value"),
        ("** * * * *", "bad_value"),
        ("٣ * * * *", "bad_value"),
        ("0 0 ? * *", "bad_value"),
        ("0 0 15W * *", "bad_value"),
        ("0 0 * * MON#1#2", "bad_nth"),
        ("0 H * * *", "bad_value"),
        ("99999999999999999999 * * * *", "bad_value"),
    ],
)
def test_a_line_that_cannot_be_is_refused_by_name(line: str, code: str) -> None:
    assert problems([line]) == [(code, ("rule", 0))]


@pytest.mark.parametrize(
    ("lines", "code", "loc"),
    [
        ([], "no_lines", ("rule",)),
        (None, "no_lines", ("rule",)),
        ({"every": "5m"}, "no_lines", ("rule",)),
        (5, "no_lines", ("rule",)),
        ([5], "not_text", ("rule", 0)),
        ([["0 3 * * *"]], "not_text", ("rule", 0)),
        (["0 3 * * *"] * (MAX_LINES + 1), "too_many_lines", ("rule",)),
    ],
)
def test_what_is_no_list_of_lines_is_refused(
    lines: object, code: str, loc: tuple[str | int, ...]
) -> None:
    assert problems(lines) == [(code, loc)]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert problems(["60 24 * * *", "0 3 * * *", "0 0 30 2 *", 7], "Mars/Olympus") == [
        ("out_of_range", ("rule", 0)),
        ("out_of_range", ("rule", 0)),
        ("impossible", ("rule", 2)),
        ("not_text", ("rule", 3)),
        ("unknown_zone", ("timezone",)),
    ]


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("60 * * * *", "0"),
        ("0 22-2 * * *", "22-23,0-2"),
        ("0 0 * * FRI-MON", "FRI-SAT,SUN-MON"),
        ("0 0 * * MONDAY", "MON"),
        ("0 0 * FEBRUARY *", "FEB"),
        ("0 0 ? * *", "*"),
        ("30 0 3 * * *", "0 3 * * *"),
    ],
)
def test_a_way_out_is_suggested(line: str, suggestion: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_schedule(line)
    (problem,) = refused.value.problems
    assert problem.suggestion == suggestion
    assert problem.fix
    assert refused.value.message == problem.message


# -- zones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "suggestion"),
    [
        ("../../etc/passwd", None),
        ("/etc/localtime", None),
        ("localtime", None),
        ("Factory", None),
        ("CEST", None),
        ("Europe/Berlin\0", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("posix/Asia/Tokyo", "Asia/Tokyo"),
    ],
)
def test_a_zone_that_is_not_on_the_list_is_refused(zone: str, suggestion: str | None) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_schedule("0 3 * * *", zone)
    (problem,) = refused.value.problems
    assert (problem.code, problem.loc) == ("schedule.unknown_zone", ("timezone",))
    assert problem.suggestion == suggestion


@pytest.mark.parametrize("zone", [None, 3, "", "x" * 65, ["UTC"]])
def test_what_is_no_name_of_a_zone_is_refused(zone: object) -> None:
    assert problems("0 3 * * *", zone) == [("bad_zone", ("timezone",))]


def test_without_time_zone_files_utc_works_and_others_say_what_is_missing(monkeypatch) -> None:
    monkeypatch.setattr(zones, "_zone_keys", frozenset)
    assert parse_schedule("0 3 * * *", "UTC").after(NOW) == at("2026-03-29 03:00")
    assert problems("0 3 * * *", "Europe/Berlin") == [("no_zones", ("timezone",))]


# -- where clocks change ---------------------------------------------------------------------------


def test_a_fixed_time_in_the_gap_fires_once_at_its_end() -> None:
    assert fires("30 2 * * *", "Europe/Berlin", "2026-03-29") == ["03:00+0200"]
    assert fires("10,20,30 2 * * *", "Europe/Berlin", "2026-03-29") == ["03:00+0200"]
    assert fires("0 2,3 * * *", "Europe/Berlin", "2026-03-29") == ["03:00+0200"]


def test_a_fixed_time_in_the_overlap_fires_the_first_time_only() -> None:
    assert fires("30 2 * * *", "Europe/Berlin", "2026-10-25") == ["02:30+0200"]
    assert fires("0,30 2,3 * * *", "Europe/Berlin", "2026-10-25") == [
        "02:00+0200",
        "02:30+0200",
        "03:00+0100",
        "03:30+0100",
    ]


def test_stars_follow_elapsed_time() -> None:
    assert fires("0 * * * *", "Europe/Berlin", "2026-03-29")[:3] == [
        "00:00+0100",
        "01:00+0100",
        "03:00+0200",
    ]
    assert fires("0 * * * *", "Europe/Berlin", "2026-10-25")[1:5] == [
        "01:00+0200",
        "02:00+0200",
        "02:00+0100",
        "03:00+0100",
    ]
    assert fires("*/30 2 * * *", "Europe/Berlin", "2026-03-29") == []
    assert len(fires("*/30 2 * * *", "Europe/Berlin", "2026-10-25")) == 4
    assert len(fires("* * * * *", "Europe/Berlin", "2026-10-25")) == 25 * 60


def test_half_an_hour_of_lord_howe_is_neither_lost_nor_doubled() -> None:
    zone = "Australia/Lord_Howe"
    assert fires("15 2 * * *", zone, "2026-10-04") == ["02:30+1100"]
    assert fires("45 1 * * *", zone, "2026-04-05") == ["01:45+1100"]
    assert len(fires("* 3 * * *", zone, "2026-04-05")) == 60
    assert len(fires("* 1 * * *", zone, "2026-04-05")) == 90


def test_a_day_that_was_skipped_is_made_up_for_when_the_next_begins() -> None:
    assert fires("0 9 30 12 *", "Pacific/Apia", "2011-12-31") == ["00:00+1400"]
    assert fires("0 9 * * *", "Pacific/Apia", "2011-12-29", days=3) == [
        "09:00-1000",
        "00:00+1400",
        "09:00+1400",
    ]


def test_midnight_that_does_not_exist_is_the_first_instant_of_the_day() -> None:
    assert fires("0 0 * * *", "America/Havana", "2026-03-08") == ["01:00-0400"]
    assert fires("*/30 0 * * *", "America/Havana", "2026-03-08") == []


def test_the_next_slot_inside_the_repeated_hour_is_never_one_that_has_passed() -> None:
    schedule = parse_schedule("45 2 * * *", "Europe/Berlin")
    second_pass = at("2026-10-25 01:10")
    assert schedule.after(second_pass) == at("2026-10-26 01:45")
    assert schedule.latest(NOW, second_pass) == at("2026-10-25 00:45")


CHANGES = [
    ("UTC", "2026-03-29"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("Europe/London", "2026-03-29"),
    ("Europe/London", "2026-10-25"),
    ("Europe/Dublin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Chatham", "2026-04-05"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Antarctica/Casey", "2020-10-04"),
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    ("America/Santiago", "2026-04-05"),
    ("America/Santiago", "2026-09-06"),
    ("America/St_Johns", "2010-03-14"),
    ("America/St_Johns", "2010-11-07"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Kathmandu", "1986-01-01"),
    ("Asia/Pyongyang", "2015-08-15"),
]


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_every_line_fires_as_the_wall_clock_was_walked(zone: str, day: str) -> None:
    start, stop = at(day) - timedelta(days=2), at(day) + timedelta(days=3)
    clock = WallClock.of(zone, start, stop)
    chance = random.Random(zone + day)  # the same places each time
    instants = [start + timedelta(seconds=chance.randrange(5 * 86400)) for _ in range(12)]
    for line in (*LINES, "* * * * *", "30 0 * * *", "0-59 1,2,3 * * *", "0 9 30 12 *"):
        schedule, expected = parse_schedule(line, zone), clock.slots(line)
        every = [instant_of(minute * 60) for minute in expected]
        assert schedule.between(start - SECOND, stop - SECOND, 10**4) == every, line
        assert schedule.count(start - SECOND, stop - SECOND) == len(every), line
        for instant in instants:
            later = [slot for slot in every if slot > instant]
            earlier = [slot for slot in every if slot <= instant]
            found = schedule.after(instant)
            assert found == later[0] if later else found is None or found >= stop, line
            assert schedule.latest(start - SECOND, instant) == max(earlier, default=None), line
            assert schedule.count(instant, stop - SECOND) == len(later), line


# -- rare and many ---------------------------------------------------------------------------------


def test_leap_days_of_one_weekday_are_found_over_forty_years() -> None:
    schedule = parse_schedule("0 0 29 2 */7", "Europe/Berlin")
    assert schedule.after(at("2088-03-01")) == at("2128-02-28 23:00")
    assert schedule.latest(at("2000-01-01"), at("2128-02-28")) == at("2088-02-28 23:00")


def test_at_the_end_of_time_there_is_no_next_slot() -> None:
    schedule = parse_schedule(["0 3 * * *", "* * * * *"], "Europe/Berlin")
    assert schedule.after(datetime.max.replace(tzinfo=UTC)) is None
    first = schedule.after(datetime.min.replace(tzinfo=UTC))
    assert first is not None
    assert first.year <= 2


def test_counting_stops_at_ten_thousand() -> None:
    long = at("1990-01-01"), at("2026-01-01")
    assert parse_schedule("* * * * *", "Europe/Berlin").count(*long) == MAX_COUNTED
    assert parse_schedule(["* * * * *", "0 3 * * *"]).count(*long) == MAX_COUNTED
    assert parse_schedule("0 0 1 1 *").count(*long) == 36


def test_a_long_absence_is_looked_over_without_walking_its_slots() -> None:
    class Walked(Exception):
        pass

    def refuse(*_: object) -> None:
        raise Walked

    schedule = parse_schedule("* * * * *", "Europe/Berlin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowdapt.domain.cron.CronLine.each", refuse)
        assert schedule.latest(NOW - timedelta(days=3), NOW) == NOW
        assert schedule.count(NOW - timedelta(days=3), NOW) == 4320
        assert schedule.after(NOW) == NOW + timedelta(minutes=1)
        with pytest.raises(Walked):
            schedule.between(NOW, NOW + timedelta(days=1), 1)


# -- a second opinion ------------------------------------------------------------------------------


def read(line: str) -> Schedule | None:
    """Return the schedule of a line, or None where it is refused with words."""
    try:
        return parse_schedule(line)
    except ScheduleError as refused:
        told = [problem for problem in refused.problems if problem.message and problem.fix]
    assert told
    return None


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pair = st.tuples(number, number).map(sorted)
    step = st.integers(1, high + 3)
    term = st.one_of(
        st.just("*"),
        number.map(str),
        pair.map(lambda p: f"{p[0]}-{p[1]}"),
        step.map(lambda s: f"*/{s}"),
        # They read 4-4/8 as 4/8.
        st.tuples(pair.filter(lambda p: p[0] < p[1]), step).map(
            lambda t: f"{t[0][0]}-{t[0][1]}/{t[1]}"
        ),
        st.tuples(number, step).map(lambda t: f"{t[0]}/{t[1]}"),
    )
    return st.lists(term, min_size=1, max_size=3).map(",".join)


_LINE = st.tuples(
    _field(0, 59),
    _field(0, 23),
    st.one_of(_field(1, 31), st.sampled_from(["L", "LW", "*"])),
    _field(1, 12),
    st.one_of(_field(0, 7), st.sampled_from(["MON-FRI", "5L", "MON#1", "0#5,3#2", "*"])),
).map(" ".join)
_INSTANT = st.integers(631_152_000, 2_840_140_800).map(instant_of)


@given(_LINE, _INSTANT)
@settings(max_examples=150, deadline=None)
def test_another_reader_of_cron_finds_the_same_slots_in_utc(line: str, start: datetime) -> None:
    assume(read(line) is not None)
    schedule = parse_schedule(line)
    theirs = CronSim(line, start)
    slot = start
    for _ in range(3):
        expected = next(theirs)
        found = schedule.after(slot)
        assert found == expected
        slot = expected


@given(st.lists(_LINE, min_size=1, max_size=3), _INSTANT, st.sampled_from([z for z, _ in CHANGES]))
@settings(max_examples=60, deadline=None)
def test_what_is_asked_in_different_ways_is_answered_alike(
    lines: list[str], start: datetime, zone: str
) -> None:
    assume(all(read(line) is not None for line in lines))
    schedule = parse_schedule(lines, zone)
    stop = start + timedelta(days=40)
    slots = schedule.between(start, stop, 400)
    assert slots == sorted(set(slots))
    assert all(schedule.after(slot - SECOND) == slot for slot in slots[:20])
    assert all(schedule.latest(start, slot) == slot for slot in slots[:20])
    if len(slots) < 400:
        assert schedule.count(start, stop) == len(slots)
        assert schedule.latest(start, stop) == (slots[-1] if slots else None)
    assert schedule.in_words()
    assert schedule.per_day() > 0
    assert all(isinstance(doubt, str) for doubt in schedule.warnings())


@given(st.one_of(st.text(), st.text(alphabet="0123456789*/-,@#LWMONJA ", max_size=40)))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_words(text: str) -> None:
    schedule = read(text)
    assert schedule is None or schedule.after(NOW) is not None


# -- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("* * * * *", "every minute"),
        ("* */1 * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("0 * * * *", "at minute 0 of every hour"),
        ("@hourly", "at minute 0 of every hour"),
        ("5,35 * * * *", "at minutes 5 and 35 of every hour"),
        ("0 3 * * *", "at 03:00 every day"),
        ("0,30 3,4 * * *", "at 03:00, 03:30, 04:00 and 04:30 every day"),
        ("* 3 * * *", "every minute of hour 3, every day"),
        ("0 */2 * * *", "at minute 0 of every 2nd hour"),
        ("0 9-17 * * MON-FRI", "at minute 0 of hours 9 to 17, on Monday to Friday"),
        ("0-30/5 9 * * *", "every 5 minutes from minute 0 to 30 of hour 9, every day"),
        ("30 4 1,15 * *", "at 04:30, on the 1st and the 15th"),
        ("30 4 1,15 * 5", "at 04:30, on the 1st and the 15th or on Friday"),
        ("30 4 */2 * 5", "at 04:30, on every 2nd day from the 1st to the 31st if it is Friday"),
        ("0 0 29 2 *", "at 00:00, on the 29th, in February"),
        ("0 0 L 3,6-8 *", "at 00:00, on the last day, in March and June to August"),
        ("0 0 LW */6 *", "at 00:00, on the last weekday (Monday to Friday), in January and July"),
        ("0 8 * * FRI#2,1L", "at 08:00, on the second Friday and the last Monday"),
        ("0 8 * * 6,7", "at 08:00, on Saturday and Sunday"),
        ("0 8 1 1 *", "at 08:00, on the 1st, in January"),
        ("0 8 22,11,3 * *", "at 08:00, on the 22nd, the 11th and the 3rd"),
    ],
)
def test_a_line_is_told_in_words(line: str, words: str) -> None:
    assert parse_schedule(line).in_words() == f"{words} (UTC)"


def test_several_lines_are_told_with_their_zone() -> None:
    lines = ["0 3 * * *", "0 12 * * SUN", "0 3 * * *"]
    words = parse_schedule(lines, "Europe/Berlin").in_words()
    assert words == "at 03:00 every day; at 12:00, on Sunday (Europe/Berlin)"


@pytest.mark.parametrize(
    ("lines", "per_day"),
    [
        ("* * * * *", 1440),
        ("* */1 * * *", 1440),
        ("0 3 * * *", 1),
        (["0 3 * * *", "0 3 * * *"], 1),
        (["0 3 * * *", "0 3,4 * * *"], 2),
        ("0 3 * * MON", 1 / 7),
        (["0 3 * * MON", "0 3 * * *"], 1),
        (["0 3 * * MON", "0 4 * * *"], 8 / 7),
        ("0 0 29 2 *", 7 / 10227),
        ("0 0 1 1 *", 28 / 10227),
        (["0 0 1 * *", "0 0 L * *"], 672 / 10227),
    ],
)
def test_how_often_a_day_is_an_average_over_all_years(
    lines: str | list[str], per_day: float
) -> None:
    assert parse_schedule(lines).per_day() == pytest.approx(per_day)


@pytest.mark.parametrize(
    ("line", "doubt"),
    [
        ("* */1 * * *", "fires every minute; once an hour is `0 * * * *`"),
        ("* 3 * * *", "fires 60 times a day, every minute of its hours; once is `0 3 * * *`"),
        ("*/1 3,4 * * *", "once in each of these hours is `0 3,4 * * *`"),
        ("*/7 * * * *", "begins anew each hour, with 4 after 56"),
        ("*/90 * * * *", "fires at minute 0 only; evenly is an interval: {every: 90m}"),
        ("0 */5 * * *", "begins anew each day, with 4 after 20"),
        ("0 0 13 * 5", "on days that are either"),
        ("0 0 */2 * 5", "only on days that fit both"),
        ("0 0 29 2 *", "in leap years only"),
        ("0 0 31 * *", "leaves out months that have no 31st"),
    ],
)
def test_what_looks_like_a_slip_is_doubted(line: str, doubt: str) -> None:
    (found,) = parse_schedule(line).warnings()
    assert doubt in found


@pytest.mark.parametrize(
    "line",
    ["* * * * *", "*/15 * * * *", "0 3 * * *", "@hourly", "0 0 L * *", "0 0 28 2 *", "0 0 31 1 *"],
)
def test_what_is_plain_is_not_doubted(line: str) -> None:
    assert parse_schedule(line).warnings() == []


def test_a_line_that_stands_twice_is_told() -> None:
    (found,) = parse_schedule(["0 3 * * *", "0  3 * * *"]).warnings()
    assert found == "`0 3 * * *` stands there twice; it fires once"
