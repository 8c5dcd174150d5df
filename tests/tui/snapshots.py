"""Compare pictures of screens with committed ones: `--update-snapshots` writes them anew.

A picture is Textual's SVG with its random ids and fonts taken out. A test gives fixed data and a fixed
clock; on a difference it is told which lines of text changed.
"""

from __future__ import annotations

import difflib
import html
import re
import time
from pathlib import Path
from typing import Any

from textual.app import App
from textual.pilot import Pilot

FOLDER = Path(__file__).parent / "pictures"
SIZES = {"80x24": (80, 24), "140x40": (140, 40)}


def normal(svg: str) -> str:
    """Return a picture without what differs from one drawing to the next."""
    mark = re.search(r"terminal-(\d+)-", svg)
    svg = svg.replace(f"terminal-{mark[1]}", "terminal") if mark else svg
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return re.sub(r"\n\s*\n+", "\n", svg)


def text_lines(svg: str) -> list[str]:
    """Return the text of a picture, one line of the terminal a line."""
    rows: dict[float, list[tuple[float, str]]] = {}
    pattern = r'<text[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>'
    for x, y, text in re.findall(pattern, svg):
        rows.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    ordered = sorted(rows.items())
    return ["".join(text for _, text in sorted(pieces)).rstrip() for _, pieces in ordered]


async def look(pilot: Pilot[Any], name: str, *, update: bool, within_s: float = 10.0) -> None:
    """Wait until the screen is the committed picture `name`; fail as `compare` does when it stays another."""
    deadline = time.monotonic() + within_s
    if update:
        await settled(pilot)
    while not update and time.monotonic() < deadline:
        if normal(pilot.app.export_screenshot(title="flowdapt")) == _known(name):
            return
        await pilot.pause(0.1)
    compare(pilot.app, name, update=update)


async def settled(pilot: Pilot[Any], *, within_s: float = 4.0) -> None:
    """Wait until nothing on screen has changed for a moment: what a dialog covers is drawn no more."""
    deadline = time.monotonic() + within_s
    before, since = "", time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 0.4:
        await pilot.pause(0.1)
        drawn = pilot.app.export_screenshot()
        if drawn != before:
            before, since = drawn, time.monotonic()


def _known(name: str) -> str:
    path = FOLDER / f"{name}.svg"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def compare(app: App[None], name: str, *, update: bool) -> None:
    """Fail when what is on screen is not the committed picture `name`."""
    path = FOLDER / f"{name}.svg"
    drawn = normal(app.export_screenshot(title="flowdapt"))
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(drawn, encoding="utf-8")
        return
    assert path.exists(), f"there is no picture {path.name} yet: run with --update-snapshots"
    known = path.read_text(encoding="utf-8")
    if drawn != known:
        raise AssertionError(_difference(path.name, known, drawn))


def _difference(name: str, known: str, drawn: str) -> str:
    changed = list(
        difflib.unified_diff(
            text_lines(known), text_lines(drawn), "known", "drawn", n=0, lineterm=""
        )
    )
    told = "\n".join(changed[2:]) if changed else _colours(known, drawn)
    return f"{name} looks different (--update-snapshots takes it over)\n{told}"


def _colours(known: str, drawn: str) -> str:
    """Return the first pieces that stand elsewhere or in other colours."""
    pieces = [svg.replace("><", ">\n<").splitlines() for svg in (known, drawn)]
    changed = list(difflib.unified_diff(*pieces, "known", "drawn", n=0, lineterm=""))
    return "the text is the same, colours or places are not\n" + "\n".join(changed[2:12])
