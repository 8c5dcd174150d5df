"""What a run that goes on looks like: shares, estimates, folding, and no escape from the cells."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from flowdapt.cli.progress import Progress, _those_that_fit, done_share, left_s
from flowdapt.cli.screen import Screen
from flowdapt.domain.wording import age, coarse, duration, size
from tests.client.fake_daemon import run

BEGAN = "2026-11-24T08:00:00+00:00"
BEGAN_S = 1795507200.0


def stage(state: str = "running", **more: Any) -> dict[str, Any]:
    return {"name": "s", "type": "simple", "state": state, "started_at": BEGAN} | more


@pytest.mark.parametrize(
    ("found", "share"),
    [
        (stage(items={"total": 10, "finished": 3, "failed": 1}), 0.4),
        (stage(items={"total": None, "finished": 3}), None),
        (stage(items={"total": 0, "finished": 0}), None),
        (stage(progress=(5, 20)), 0.25),
        (stage(progress=(5, None)), None),
        (stage(progress=(50, 20)), 1.0),
        (stage("finished"), 1.0),
        (stage("pending"), None),
    ],
)
def test_how_much_is_done_is_said_where_it_can_be(
    found: dict[str, Any], share: float | None
) -> None:
    assert done_share(found) == share


def test_what_is_left_is_estimated_from_the_pace() -> None:
    found = stage(items={"total": 4, "finished": 1})
    assert left_s(found, now=BEGAN_S + 10) == pytest.approx(30)
    assert left_s(stage(), now=BEGAN_S + 10) is None
    assert left_s(stage(items={"total": 4, "finished": 0}), now=BEGAN_S) is None


def test_of_many_stages_the_running_ones_are_shown_in_order() -> None:
    states = ["finished"] * 40 + ["running"] + ["finished"] * 5 + ["failed"] + ["pending"] * 40
    stages = [stage(state, name=str(place)) for place, state in enumerate(states)]
    shown = _those_that_fit(stages, 10)
    names = [int(one["name"]) for one in shown]
    assert len(shown) == 10
    assert {40, 46} <= set(names)
    assert names == sorted(names)
    assert _those_that_fit(stages, 200) == stages


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_drawn_and_let_nothing_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    evil = "x\x1b]0;t\x07[red]"
    screen = Screen(io.StringIO(), Terminal())
    with Progress(screen, estimate_s=60) as progress:
        progress.update(run(name=evil, state="running", finished_at=None, duration_s=None,
                            stages=[stage(name=evil, items={"total": 40, "finished": 38, "failed": 2})]))  # fmt: skip
    text = screen.err.getvalue()
    assert "38/40  2 ✖" in text
    assert r"x\x1b]0;t\x07[red]" in text
    assert "\x1b]0" not in text
    assert "\x07" not in text


def test_what_is_told_meanwhile_goes_above_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    screen = Screen(io.StringIO(), Terminal())
    with Progress(screen) as progress:
        progress.update(run(state="running", finished_at=None, duration_s=None, stages=[stage()]))
        progress._view._live.refresh()  # type: ignore[attr-defined]  # a frame is on the screen
        screen.note("started the daemon")
    assert re.search(r"\x1b\[2K[^\n]*started the daemon", screen.err.getvalue()), "erased first"
    screen.note("afterwards")
    assert screen.err.getvalue().endswith("afterwards\n")


def test_where_there_is_little_room_counts_stand_for_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "38")
    screen = Screen(io.StringIO(), Terminal())
    items = {"total": 40, "finished": 8, "failed": 0}
    with Progress(screen) as progress:
        progress.update(run(state="running", stages=[stage(name="fit", items=items)]))
    assert "fit" in screen.err.getvalue()
    assert "8/40" in screen.err.getvalue()
    assert "━" not in screen.err.getvalue()


def test_a_quiet_person_gets_no_bars() -> None:
    assert not Screen(io.StringIO(), Terminal(), quiet=True).live
    assert not Screen(io.StringIO(), io.StringIO()).live


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (duration(0.0384), "38ms"),
        (duration(4.214), "4.21s"),
        (duration(42.2), "42.2s"),
        (duration(192), "3m12s"),
        (duration(7500), "2h05m"),
        (duration(None), ""),
        (coarse(119), "119s"),
        (coarse(7300), "2h"),
        (coarse(-5), "0s"),
        (size(0), "0 B"),
        (size(1536), "1.5 KiB"),
        (size(3 * 1024**5), "3072.0 TiB"),
        (age(None), ""),
    ],
)
def test_values_are_written_for_people(shown: str, expected: str) -> None:
    assert shown == expected
