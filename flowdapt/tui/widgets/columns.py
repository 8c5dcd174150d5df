"""Decide how wide the columns of a table are: which shrink, which go when there is no room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from rich.cells import cell_len

from flowdapt.tui.widgets.safe import safe

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Cell", "Column", "widths_of"]

R = TypeVar("R")
_GAP = 2
_FLEX_LEAST = 12
_FLEX_MOST = 200


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and what its colour means (a role of the theme); or `parts` of it with a role each."""

    text: str = ""
    role: str = ""
    parts: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.parts:
            object.__setattr__(self, "text", "".join(text for text, _ in self.parts))


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column. `flex` ones share what is left; `least` lets a column shrink to that where it is narrow.

    Where that is not enough, columns without `must` go, from the right; `spare` ones go before any shrinks. `width` is what it takes at
    least where there is room; `sort` is the server's word to sort by.
    """

    title: str
    cell: Callable[[R, FlowdaptApp], Cell]
    width: int = 4
    least: int = 0
    spare: bool = False
    right: bool = False
    flex: bool = False
    must: bool = False
    sort: str = ""


def widths_of(
    columns: Sequence[Column[R]], seen: Sequence[R], room: int, app: FlowdaptApp
) -> list[tuple[Column[R], int]]:
    """Return the columns that fit into the room, and how wide each is."""
    wanted = [(column, _wanted(column, seen, app)) for column in columns]
    while _total(wanted) > room and (gone := _spare(wanted)) is not None:
        del wanted[gone]
    while _total(_shrunk(wanted)) > room and (gone := _to_leave_out(wanted)) is not None:
        del wanted[gone]
    return _stretched(wanted, room)


def _shrunk(wanted: list[tuple[Column[R], int]]) -> list[tuple[Column[R], int]]:
    return [(column, min(size, column.least or size)) for column, size in wanted]


def _wanted(column: Column[R], seen: Sequence[R], app: FlowdaptApp) -> int:
    least = max(column.width, cell_len(column.title) + (1 if column.sort else 0))
    longest = max([least, *(cell_len(safe(column.cell(row, app).text)) for row in seen)])
    return max(least, min(longest, _FLEX_LEAST)) if column.flex else longest


def _spare(wanted: list[tuple[Column[R], int]]) -> int | None:
    places = [at for at, (column, _) in enumerate(wanted) if column.spare]
    return places[-1] if places else None


def _to_leave_out(wanted: list[tuple[Column[R], int]]) -> int | None:
    places = [at for at, (column, _) in enumerate(wanted) if not column.must]
    return places[-1] if places else None


def _stretched(wanted: list[tuple[Column[R], int]], room: int) -> list[tuple[Column[R], int]]:
    """Give what is left to the columns that can use it; take what is missing from the widest."""
    left = room - _total(wanted)
    flexible = [at for at, (column, _) in enumerate(wanted) if column.flex]
    sizes = [size for _, size in wanted]
    if left > 0 and flexible:
        share, rest = divmod(left, len(flexible))
        for number, at in enumerate(flexible):
            sizes[at] = min(sizes[at] + share + (1 if number < rest else 0), _FLEX_MOST)
    floors = [size for _, size in _shrunk(wanted)]
    while left < 0 and sizes and max(sizes) > 1:
        spare = [size - floor for size, floor in zip(sizes, floors, strict=True)]
        most = spare if max(spare) > 0 else sizes
        sizes[most.index(max(most))] -= 1
        left += 1
    return [(column, size) for (column, _), size in zip(wanted, sizes, strict=True)]


def _total(wanted: list[tuple[Column[R], int]]) -> int:
    return sum(size + _GAP for _, size in wanted) - _GAP
