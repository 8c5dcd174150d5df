"""Wait until a screen is as a test expects it, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from textual.pilot import Pilot

from tests.tui.snapshots import normal

T = TypeVar("T")
# So many equal pictures in a row, each after everything that waited was done.
_STILL = 4


async def until(pilot: Pilot[Any], probe: Callable[[], T], *, within_s: float = 5.0) -> T:
    """Let the app work until `probe` returns something true; return that."""
    deadline = time.monotonic() + within_s
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s\n{text_of(pilot)}")
        await pilot.pause(0.02)
    return value


def lines_of(pilot: Pilot[Any]) -> list[str]:
    """Return the text on screen, line by line, without trailing spaces."""
    app = pilot.app
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def text_of(pilot: Pilot[Any]) -> str:
    return "\n".join(lines_of(pilot))


async def still(pilot: Pilot[Any], *, within_s: float = 5.0) -> None:
    """Let the app work until nothing on screen changes any more: what was asked for has come and is laid out."""
    seen: list[str] = []
    deadline = time.monotonic() + within_s
    while len(seen) < _STILL or len(set(seen[-_STILL:])) > 1:
        if time.monotonic() > deadline:
            raise AssertionError(f"the screen does not come to rest within {within_s} s")
        await pilot.pause(0.03)
        seen.append(normal(pilot.app.export_screenshot()))
