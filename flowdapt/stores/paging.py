"""Build the lists of what belongs to a run, and of the journal: tasks, items, events."""

from __future__ import annotations

import re
from typing import NamedTuple

from flowdapt.domain.event_filter import EventFilter, has_star
from flowdapt.domain.events import Event
from flowdapt.domain.records import ItemRecord, TaskRecord
from flowdapt.ports.store import Page
from flowdapt.stores.asking import Question
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.prepared import COLUMNS
from flowdapt.stores.reading import run_id_of
from flowdapt.stores.records import event_from_row, item_from_row, task_from_row

__all__ = ["EventQuery", "StageQuery", "list_events", "list_items", "list_tasks"]


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


class EventQuery(NamedTuple):
    """Which events; `newest` asks for the last of them in place of the first."""

    after: int
    where: EventFilter
    since: int | None
    newest: bool
    limit: int


def list_events(tx: Tx, query: EventQuery) -> list[Event]:
    """Return events after the cursor; see `Store.list_events`."""
    question = Question(
        _all_of("event").replace("event.run_id", "run.uid"),
        "event LEFT JOIN run ON event.run_id = run.id",
    )
    where = query.where
    question.where("event.cursor > ?", query.after)
    if where.run is not None:
        question.where("event.run_id = ?", run_id_of(tx, where.run))
    if where.workflow is not None:
        question.where("run.workflow = ?", where.workflow)
    if where.subject:
        question.where("substr(event.subject, 1, ?) = ?", len(where.subject), where.subject)
    if query.since is not None:
        question.where("event.time >= ?", query.since)
    _ask_types(question, tx.name, where.types)
    # Within a run both orders are one, and `seq` has an index.
    order = "event.cursor" if where.run is None else "event.seq"
    direction = " DESC" if query.newest else ""
    rows = question.ask(tx, order + direction, page_size(query.limit))
    return [event_from_row(row) for row in (reversed(rows) if query.newest else rows)]


def _ask_types(question: Question, dialect: str, types: tuple[str, ...]) -> None:
    """Ask that one of the types fits; the texts of patterns are values as well."""
    if not any(map(has_star, types)):
        question.either("event.type = ?", list(types))
    elif dialect == SQLITE:
        literal = [one.replace("[", "[[]").replace("?", "[?]") for one in types]
        question.either("event.type GLOB ?", list(literal))
    else:
        literal = [re.sub(r"([\\%_])", r"\\\1", one).replace("*", "%") for one in types]
        question.either("event.type LIKE ?", list(literal))
