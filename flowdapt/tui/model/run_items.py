"""Decide which items of a mapped stage are held: four pages of the server's, moved both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flowdapt.domain.run import Item

__all__ = ["ITEM_PAGE", "ItemWindow"]

ITEM_PAGE = 500
_PAGES = 4


@dataclass(frozen=True, slots=True)
class _Page:
    cursor: str | None
    items: Sequence[Item]
    next: str | None


@dataclass(slots=True)
class ItemWindow:
    """At most 2,000 items of the list that a stage and a state mean."""

    stage: str | None = None
    state: str | None = None
    _pages: list[_Page] = field(default_factory=list)
    _above: list[str | None] = field(default_factory=list)

    @property
    def rows(self) -> list[Item]:
        return [item for page in self._pages for item in page.items]

    @property
    def count(self) -> int:
        """Return how many pages are to be read to have the window anew."""
        return max(len(self._pages), 1)

    @property
    def first(self) -> str | None:
        """Return where the window begins."""
        return self._pages[0].cursor if self._pages else None

    @property
    def below(self) -> str | None:
        """Return where the page below begins; None at the end."""
        return self._pages[-1].next if self._pages else None

    @property
    def above(self) -> tuple[str | None] | None:
        """Return, in a tuple, where the page above begins; None at the top."""
        return (self._above[-1],) if self._above else None

    def reset(self, stage: str | None, state: str | None) -> None:
        self.stage, self.state = stage, state
        self._pages, self._above = [], []

    def take(self, pages: Sequence[tuple[str | None, Sequence[Item], str | None]]) -> None:
        """Take the window's pages as they are now: (cursor, items, next) each."""
        self._pages = [_Page(*page) for page in pages]

    def add_below(self, items: Sequence[Item], next_: str | None) -> None:
        """Take the page that begins at `below`; the topmost goes when there are four."""
        self._pages.append(_Page(self.below, items, next_))
        while len(self._pages) > _PAGES:
            self._above.append(self._pages.pop(0).cursor)

    def add_above(self, items: Sequence[Item], next_: str | None) -> None:
        """Take the page that begins at `above`; the lowest goes when there are four."""
        self._pages.insert(0, _Page(self._above.pop(), items, next_))
        del self._pages[_PAGES:]
