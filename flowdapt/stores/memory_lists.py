"""Choose, order and page what a memory store lists, as the SQL stores do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from flowdapt.domain.records import RunRecord
from flowdapt.ports.store import Page, RunFilter
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.records import NOTHING, micros

__all__ = ["SORTS", "fits", "page_of", "slim"]

T = TypeVar("T")


def slim(run: RunRecord) -> RunRecord:
    """Return a run as lists hold it."""
    return replace(
        run, labels=dict(run.labels), definition="", config="", input=NOTHING, result=None
    )


def _since_start(run: RunRecord) -> int:
    if run.started_at is None or run.finished_at is None:
        return -1
    return (micros(run.finished_at) or 0) - (micros(run.started_at) or 0)


def _stamp(when: datetime | None) -> int:
    return -1 if when is None else micros(when) or 0


SORTS: Mapping[str, Callable[[RunRecord], int]] = {
    "created": lambda run: run.number,
    "started": lambda run: _stamp(run.started_at),
    "finished": lambda run: _stamp(run.finished_at),
    "duration": _since_start,
}


def fits(run: RunRecord, where: RunFilter) -> bool:
    exact = (
        (where.workflow, run.workflow),
        (where.namespace, run.namespace),
        (where.parent, run.parent),
        (where.trigger, run.trigger_rule),
    )
    return (
        (not where.states or run.state.value in where.states)
        and all(wanted is None or wanted == has for wanted, has in exact)
        and (where.since is None or run.created_at >= where.since)
        and (where.until is None or run.created_at < where.until)
        and _took_so_long(run, where)
        and (not where.q or _matches(run, where.q))
        and (where.labels or {}).items() <= run.labels.items()
    )


def _took_so_long(run: RunRecord, where: RunFilter) -> bool:
    took = _since_start(run)
    longer = where.longer_s is None or took > round(where.longer_s * 1_000_000)
    return longer and (where.shorter_s is None or 0 <= took < round(where.shorter_s * 1_000_000))


def _matches(run: RunRecord, q: str) -> bool:
    return run.name.startswith(q) or run.uid.startswith(q) or q in run.workflow


def page_of(
    found: Sequence[T],
    kind: str,
    key: Callable[[T], tuple[Any, ...]],
    types: tuple[type, ...],
    cursor: str | None,
    limit: int,
) -> Page[T]:
    """Return the page after the cursor of what is in the ascending order of its keys."""
    size = page_size(limit)
    if cursor is not None:
        last = tuple(read_cursor(kind, cursor, *types))
        found = [one for one in found if key(one) > last]
    following = write_cursor(kind, *key(found[size - 1])) if len(found) > size else None
    return Page(list(found[:size]), following)
