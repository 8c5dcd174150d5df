"""The tables of docs/reference/schedules.md are what schedules really do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from flowdapt.domain.schedule import ScheduleError, parse_schedule
from tests.house.source import reference

SECOND = timedelta(seconds=1)


def examples(name: str) -> list[list[str]]:
    """Return the rows of a table of examples, without its head."""
    marked = re.search(rf"<!-- examples: {name} -->\n\n((?:\|.*\n)+)", reference("schedules"))
    assert marked is not None
    rows = [line.strip("|").split(" | ") for line in marked[1].splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in rows]


@pytest.mark.parametrize(("line", "words", "per_day"), examples("words"))
def test_a_line_has_these_words(line: str, words: str, per_day: str) -> None:
    schedule = parse_schedule(line.strip("`"))
    assert schedule.in_words() == f"{words} (UTC)"
    assert f"{schedule.per_day():.2g}" == per_day


@pytest.mark.parametrize(("line", "warning"), examples("warnings"))
def test_a_slip_has_this_warning(line: str, warning: str) -> None:
    assert parse_schedule(line.strip("`")).warnings() == [warning]


@pytest.mark.parametrize(("line", "code"), examples("refused"))
def test_a_line_is_refused_with_this_code(line: str, code: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse_schedule(line.strip("`"))
    assert [problem.code for problem in refused.value.problems] == [code.strip("`")]


@pytest.mark.parametrize(("line", "zone", "day", "times"), examples("clocks"))
def test_where_clocks_change_a_line_fires_then(line: str, zone: str, day: str, times: str) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    start, stop = midnight.astimezone(UTC), (midnight + timedelta(days=1)).astimezone(UTC)
    slots = parse_schedule(line.strip("`"), zone).between(start - SECOND, stop - SECOND, 9)
    fired = ", ".join(f"{slot.astimezone(ZoneInfo(zone)):%H:%M%z}" for slot in slots)
    assert (fired or "never") == times
