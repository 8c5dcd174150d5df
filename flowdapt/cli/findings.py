"""Decide how a check of an executor is shown: what failed first, with its code and the way out.

What is well stands in two columns where they fit, since nobody needs to read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from flowdapt.cli.screen import Screen
from flowdapt.cli.tables import width_of
from flowdapt.domain.display import escape_controls

__all__ = ["UNREACHABLE", "failed_of", "show_findings", "unreachable"]

Row = Mapping[str, Any]

# What this finding is the code of could not be opened at all.
UNREACHABLE = "executor.unavailable"
_SIGNS = {"ok": ("✔", "good"), "warning": ("▲", "warn"), "failed": ("✖", "bad")}
_BETWEEN, _INDENT = 4, 2


def failed_of(findings: Sequence[Row]) -> list[Row]:
    """Return the rows that keep from switching."""
    return [row for row in findings if row["level"] == "failed"]


def unreachable(findings: Sequence[Row]) -> bool:
    """Say whether the executor could not be opened: nothing helps then but mending it."""
    return any(row.get("code") == UNREACHABLE for row in failed_of(findings))


def show_findings(screen: Screen, findings: Sequence[Row], *, all_of_them: bool = True) -> None:
    """Write the rows, failed ones first; without `all_of_them` what is well is left out."""
    for level in ("failed", "warning"):
        for row in findings:
            if row["level"] == level:
                _bad(screen, row)
    if all_of_them:
        well = [row["words"] for row in findings if row["level"] == "ok"]
        for left, right in _pairs(well, screen.width):
            _well(screen, left, right)


def _bad(screen: Screen, row: Row) -> None:
    sign, style = _SIGNS[row["level"]]
    code = f"   [{row['code']}]" if row.get("code") else ""
    screen.styled((f"  {sign} ", style), (row["words"], None), (code, "dim"))
    if row.get("fix"):
        screen.styled(("    fix:  ", "bold"), (row["fix"], None))


def _well(screen: Screen, left: str, right: tuple[str, int] | None) -> None:
    sign, style = _SIGNS["ok"]
    parts: list[tuple[str, str | None]] = [(f"  {sign} ", style), (left, None)]
    if right is not None:
        words, column = right
        parts += [(" " * (column - _width(left)), None), (f"{sign} ", style), (words, None)]
    screen.styled(*parts)


def _pairs(words: Sequence[str], width: int | None) -> Iterator[tuple[str, tuple[str, int] | None]]:
    """Yield the rows: two short texts beside each other, and where the second begins; long ones alone."""
    room = 0 if width is None else width // 2 - _BETWEEN - _INDENT
    short = [one for one in words if _width(one) <= room]
    half = (len(short) + 1) // 2
    column = max(map(_width, short[:half]), default=0) + _BETWEEN
    for left, right in zip_longest(short[:half], short[half:]):
        yield left, None if right is None else (right, column)
    yield from ((one, None) for one in words if one not in short)


def _width(text: str) -> int:
    return width_of(escape_controls(text))
