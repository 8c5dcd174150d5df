"""Decide which runs a list holds: pages from the server, at most ten of them, updated in place.

A run that began after the first page was read joins at the top; nothing here knows the cursor on
screen, rows are told by their uid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from flowdapt.domain.events import (
    WORKFLOW_CANCELLING,
    WORKFLOW_DELETED,
    WORKFLOW_FINISHED,
    WORKFLOW_QUEUED,
    WORKFLOW_STARTED,
)
from flowdapt.domain.run import Run
from flowdapt.tui.model.query import Query

__all__ = ["PAGE", "RunWindow"]

PAGE = 200
PAGES = 10
_TELL_A_RUN = frozenset({WORKFLOW_QUEUED, WORKFLOW_STARTED, WORKFLOW_CANCELLING, WORKFLOW_FINISHED})


@dataclass(slots=True)
class _Page:
    """A page as it was read: where it begins on the server, and which runs it held."""

    cursor: str | None
    next: str | None
    uids: list[str]


@dataclass(slots=True)
class RunWindow:
    """A window of at most 2,000 runs on the list that a query means.

    `first` is the number of pages above the window that were let go of.
    """

    query: Query = field(default_factory=Query)
    loaded: bool = False
    _runs: dict[str, Run] = field(default_factory=dict)
    _pages: list[_Page] = field(default_factory=list)
    _above: list[str | None] = field(default_factory=list)

    @property
    def rows(self) -> list[Run]:
        """Return the runs in the order of the server."""
        return [self._runs[uid] for page in self._pages for uid in page.uids if uid in self._runs]

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, uid: str) -> Run | None:
        return self._runs.get(uid)

    @property
    def next_cursor(self) -> str | None:
        """Return where the page below the window begins; None at the end."""
        return self._pages[-1].next if self._pages else None

    @property
    def previous_cursor(self) -> tuple[str | None] | None:
        """Return, in a tuple, where the page above the window begins; None at the top."""
        return (self._above[-1],) if self._above else None

    def reset(self, query: Query) -> None:
        """Begin anew with another query."""
        self.query, self.loaded = query, False
        self._runs.clear()
        self._pages.clear()
        self._above.clear()

    def add_first(self, runs: Sequence[Run], next_: str | None) -> None:
        """Take the first page: all of the window when it is new, else what has come since."""
        if self._above:
            return
        known = self._pages[0].uids if self._pages else []
        overlap = any(run.uid in self._runs for run in runs)
        self.loaded = True
        if not known or not overlap:
            self._pages, self._runs = [_Page(None, next_, [run.uid for run in runs])], {}
        elif not self.query.newest_first:
            self._reorder(runs, next_)
        else:
            fresh = [run.uid for run in runs if run.uid not in self._runs]
            self._pages[0].uids[:0] = fresh
        self._keep(runs)
        self._trim_bottom()

    def meets(self, runs: Sequence[Run]) -> bool:
        """Say whether these newest runs reach down to what is known, or need not."""
        known = self.loaded and self.query.newest_first and not self._above and self._runs
        return not known or len(runs) >= PAGE * PAGES or any(run.uid in self._runs for run in runs)

    def add_below(self, runs: Sequence[Run], next_: str | None) -> None:
        """Take the page that begins at `next_cursor`; the topmost goes when there are ten."""
        cursor = self.next_cursor
        self._pages.append(_Page(cursor, next_, self._new(runs)))
        self._keep(runs)
        while len(self._pages) > PAGES:
            page = self._pages.pop(0)
            self._above.append(page.cursor)
            self._drop(page)

    def add_above(self, runs: Sequence[Run], next_: str | None) -> None:
        """Take the page that begins at `previous_cursor`; the lowest goes when there are ten."""
        cursor = self._above.pop()
        self._pages.insert(0, _Page(cursor, next_, self._new(runs)))
        self._keep(runs)
        self._trim_bottom()

    def replace(self, run: Run) -> bool:
        """Take a run as it is now; say whether it is one of the window's."""
        if run.uid not in self._runs:
            return False
        self._runs[run.uid] = run
        return True

    def remove(self, uid: str) -> bool:
        """Let go of a run that is gone; say whether it was there."""
        return self._runs.pop(uid, None) is not None

    def apply(self, events: Iterable[Mapping[str, Any]]) -> tuple[set[str], bool]:
        """Take events; return which rows changed, and whether the first page is to be read again."""
        changed: set[str] = set()
        again = False
        for event in events:
            kind, data = str(event.get("type")), event.get("data")
            if not isinstance(data, Mapping):
                continue
            uid = str(data.get("uid", ""))
            if kind == WORKFLOW_DELETED:
                if self.remove(uid):
                    changed.add(uid)
            elif kind in _TELL_A_RUN:
                run = self._runs.get(uid)
                if run is None:
                    again = True
                elif (new := _updated(run, data)) is not None:
                    self._runs[uid] = new
                    changed.add(uid)
                else:
                    again = True
        return changed, again

    def _new(self, runs: Sequence[Run]) -> list[str]:
        return [run.uid for run in runs if run.uid not in self._runs]

    def _reorder(self, runs: Sequence[Run], next_: str | None) -> None:
        """Take another order of the first page, unless more is loaded: then rows stay where they are."""
        if len(self._pages) == 1:
            self._pages, self._runs = [_Page(None, next_, [run.uid for run in runs])], {}

    def _keep(self, runs: Sequence[Run]) -> None:
        held = {uid for page in self._pages for uid in page.uids}
        self._runs |= {run.uid: run for run in runs if run.uid in held}

    def _trim_bottom(self) -> None:
        while len(self._pages) > PAGES:
            self._drop(self._pages.pop())
        first = self._pages[0]
        if len(first.uids) > PAGE * PAGES:
            for uid in first.uids[PAGE * PAGES :]:
                self._runs.pop(uid, None)
            del first.uids[PAGE * PAGES :]

    def _drop(self, page: _Page) -> None:
        for uid in page.uids:
            self._runs.pop(uid, None)


def _updated(run: Run, data: Mapping[str, Any]) -> Run | None:
    """Return the run with what an event says of it; None when that makes no sense of a run."""
    if run.state.terminal:
        return run
    started, finished = _instant(data.get("started_at")), _instant(data.get("finished_at"))
    began = started or run.started_at
    changed: dict[str, Any] = {
        "state": data.get("state"), "reason": data.get("reason"),
        "partial": bool(data.get("partial")),
        "started_at": began, "finished_at": finished, "error": data.get("error"),
        "duration_s": (finished - began).total_seconds() if finished and began else None,
    }  # fmt: skip
    try:
        return Run.model_validate(run.model_dump() | changed)
    except ValidationError:
        return None


def _instant(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
