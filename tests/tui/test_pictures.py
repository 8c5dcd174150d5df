"""What screens look like, held to committed pictures; look at them before taking new ones over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.fake import NOW, FakeDaemon, a_run, new_app
from tests.tui.snapshots import SIZES, look, settled, text_lines
from tests.tui.waiting import text_of, until

THEMES = ("dark", "light")


def an_error(kind: str, message: str) -> dict[str, Any]:
    frames = 'Traceback (most recent call last):\n  File "/w/train.py", line 14, in fit\n    model.fit(x)\n'
    return {
        "type": f"builtins.{kind}",
        "message": message,
        "stage": "fit",
        "traceback": f"{frames}{kind}: {message}",
    }


def busy(daemon: FakeDaemon) -> None:
    """Fill the daemon with a bit of everything."""
    daemon.status["runs"] = {"running": 2, "queued": 1, "cancelling": 1}
    daemon.status["executor"] |= {"busy": 2, "waiting": 3}
    daemon.runs = [
        a_run(1, "queued", workflow="train", reason="concurrency"),
        a_run(2, "running", workflow="train"),
        a_run(3, "running", workflow="features"),
        a_run(4, "cancelling", workflow="train"),
        a_run(
            5,
            "failed",
            workflow="train",
            error=an_error("ValueError", "the input holds NaN\x1b[31m in column 3"),
        ),
        a_run(6, "finished", workflow="features", partial=True),
        a_run(7, "cancelled", workflow="score", reason="user"),
        a_run(8, "failed", workflow="score", reason="timeout", source="trigger"),
        *(
            a_run(number, workflow=("train", "features", "日本語の名前")[number % 3])
            for number in range(9, 60)
        ),
    ]
    daemon.on("GET", "/api/v1/trigger-status", {"items": [
        {"name": "nightly", "revision": 3, "type": "schedule", "state": "armed", "actions": ["run_workflow train"],
         "next_at": (NOW + timedelta(hours=9)).isoformat()},
        {"name": "on_upload", "revision": 1, "type": "condition", "state": "broken", "broken": "no such field: data.sise"},
    ]})  # fmt: skip


def nothing(daemon: FakeDaemon) -> None:
    """Leave the store empty."""


def dead(daemon: FakeDaemon) -> None:
    daemon.die()


Steps = Callable[[Pilot[Any]], Awaitable[None]]


async def stay(pilot: Pilot[Any]) -> None:
    """Do nothing more."""


async def to_help(pilot: Pilot[Any]) -> None:
    await pilot.press("question_mark")


async def to_palette(pilot: Pilot[Any]) -> None:
    await pilot.press("ctrl+p")


async def to_marks(pilot: Pilot[Any]) -> None:
    await pilot.press("space", "j", "space", "j")


async def to_reconnecting(pilot: Pilot[Any]) -> None:
    app = pilot.app
    app.transport.die()  # type: ignore[attr-defined]  # the fake one


def older(daemon: FakeDaemon) -> None:
    busy(daemon)
    daemon.status["version"] = "0.0.9"


SCENES: dict[str, tuple[str, Callable[[FakeDaemon], None], Steps, str]] = {
    "pulse": ("pulse", busy, stay, "nightly"),
    "pulse-empty": ("pulse", nothing, stay, "Nothing is here yet"),
    "pulse-no-daemon": ("pulse", dead, stay, "There is no daemon"),
    "runs": ("runs", busy, to_marks, "quiet-otter-0005"),
    "runs-empty": ("runs", nothing, stay, "no run yet"),
    "runs-reconnecting": ("runs", busy, to_reconnecting, "reconnecting"),
    "runs-older": ("runs", older, stay, "an older daemon"),
    "help": ("runs", busy, to_help, "Keys of runs"),
    "palette": ("runs", busy, to_palette, "What is to be done"),
}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", SCENES)
async def test_screens_look_as_committed(
    daemon: FakeDaemon, scene: str, size: str, theme: str, update_snapshots: bool
) -> None:
    view, prepare, steps, shows = SCENES[scene]
    prepare(daemon)
    async with new_app(daemon, view, theme=theme).run_test(size=SIZES[size]) as pilot:
        await until(pilot, lambda: shows in text_of(pilot) or steps is not stay)
        if prepare in {busy, older}:
            await until(pilot, lambda: "train" in text_of(pilot))
        if steps is not stay:
            await settled(pilot)
        await steps(pilot)
        await until(pilot, lambda: shows in text_of(pilot))
        await look(pilot, f"{scene}-{size}-{theme}", update=update_snapshots)


async def test_ascii_pictures_hold_ascii_only(daemon: FakeDaemon) -> None:
    busy(daemon)
    daemon.runs = [run for run in daemon.runs if run["workflow"].isascii()]
    async with new_app(daemon, "pulse", ascii=True).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "nightly" in text_of(pilot))
        drawn = text_of(pilot)
        assert [char for char in drawn if not char.isascii() and char not in "│─▁▔"] == []


def test_the_comparer_tells_which_lines_changed() -> None:
    svg = '<text class="a" x="0" y="20" textLength="9">one&#160;&amp;</text><text class="a" x="9" y="20">two</text>'
    assert text_lines(svg) == ["one &two"]
