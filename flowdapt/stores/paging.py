"""Build the lists of what belongs to a run, and of the journal: tasks, items, events."""

from __future__ import annotations

from typing import NamedTuple

from flowdapt.domain.events import Event
from flowdapt.domain.records import ItemRecord, TaskRecord
from flowdapt.ports.store import Page
from flowdapt.stores.asking import Question
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.prepared import COLUMNS
from flowdapt.stores.reading import run_id_of
from flowdapt.stores.records import event_from_row, item_from_row, task_from_row

__all__ = ["StageQuery", "list_events", "list_items", "list_tasks"]


class _Keyed(NamedTuple):
    """A table of what stages leave behind, and the order of its list."""

    name: str
    key: tuple[str, ...]
    types: tuple[type, ...]


_TASKS = _Keyed("task", ("start", "attempt", "stop", "epoch", "state"), (int, int, int, int, str))
_ITEMS = _Keyed("item", ("idx",), (int,))


class StageQuery(NamedTuple):
    """Which records of which stage of a run."""

    uid: str
    stage: str
    state: str | None
    cursor: str | None
    limit: int


def list_tasks(tx: Tx, query: StageQuery) -> Page[TaskRecord]:
    """Return ended attempts; see `Store.list_tasks`."""
    rows, following = _of_stage(tx, _TASKS, query)
    return Page([task_from_row(row) for row in rows], following)


def list_items(tx: Tx, query: StageQuery) -> Page[ItemRecord]:
    """Return kept item records; see `Store.list_items`."""
    rows, following = _of_stage(tx, _ITEMS, query)
    return Page([item_from_row(row) for row in rows], following)


def _of_stage(tx: Tx, source: _Keyed, query: StageQuery) -> tuple[list[Row], str | None]:
    size = page_size(query.limit)
    question = Question(_all_of(source.name), source.name)
    question.where("run_id = ? AND stage = ?", run_id_of(tx, query.uid), query.stage)
    if query.state is not None:
        question.where("state = ?", query.state)
    key = ", ".join(source.key)
    if query.cursor is not None:
        edge = read_cursor(source.name, query.cursor, *source.types)
        question.where(f"({key}) > ({', '.join('?' * len(edge))})", *edge)
    rows = question.ask(tx, key, size + 1)
    if len(rows) <= size:
        return rows, None
    places = [COLUMNS[source.name].index(name) for name in source.key]
    return rows[:size], write_cursor(source.name, *(rows[size - 1][at] for at in places))


def _all_of(name: str) -> str:
    return ", ".join(f"{name}.{column}" for column in COLUMNS[name])


def list_events(
    tx: Tx, after: int, uid: str | None, types: tuple[str, ...], limit: int
) -> list[Event]:
    """Return events after the cursor; see `Store.list_events`."""
    question = Question(
        _all_of("event").replace("event.run_id", "run.uid"),
        "event LEFT JOIN run ON event.run_id = run.id",
    )
    question.where("event.cursor > ?", after)
    if uid is not None:
        question.where("event.run_id = ?", run_id_of(tx, uid))
    question.either("event.type = ?", list(types))
    # Within a run both orders are one, and `seq` has an index.
    order = "event.cursor" if uid is None else "event.seq"
    return [event_from_row(row) for row in question.ask(tx, order, page_size(limit))]
