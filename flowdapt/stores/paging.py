"""Build the lists of what belongs to a run, and of the journal: tasks, items, events."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, or_, select, tuple_

from flowdapt.domain.events import Event
from flowdapt.domain.run import ItemRecord, TaskRecord
from flowdapt.ports.store import Page
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.dialects import compile_text
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.reading import run_id_of
from flowdapt.stores.records import event_from_row, item_from_row, task_from_row
from flowdapt.stores.rows import table

__all__ = ["StageQuery", "list_events", "list_items", "list_tasks"]

run, event = table("run"), table("event")


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
    values: dict[str, Any] = {
        "of_run": run_id_of(tx, query.uid),
        "of_stage": query.stage,
        "of_state": query.state,
        "size": size + 1,
    }
    if query.cursor is not None:
        key = read_cursor(source.name, query.cursor, *source.types)
        values |= dict(zip(_edges(source.key), key, strict=True))
    shape = (query.state is not None, query.cursor is not None)
    statement, order = _stage_page(tx.name, source.name, source.key, *shape)
    rows = tx.select(statement, tuple(values[name] for name in order))
    if len(rows) <= size:
        return rows, None
    places = [table(source.name).columns.keys().index(name) for name in source.key]
    return rows[:size], write_cursor(source.name, *(rows[size - 1][at] for at in places))


def _edges(key: tuple[str, ...]) -> list[str]:
    return [f"after_{name}" for name in key]


@lru_cache(maxsize=16)
def _stage_page(
    dialect: str, name: str, key: tuple[str, ...], by_state: bool, paged: bool
) -> tuple[str, list[str]]:
    source = table(name)
    columns = [source.c[column] for column in key]
    statement = select(source).where(
        source.c.run_id == bindparam("of_run"), source.c.stage == bindparam("of_stage")
    )
    if by_state:
        statement = statement.where(source.c.state == bindparam("of_state"))
    if paged:
        edges: list[Any] = [bindparam(edge) for edge in _edges(key)]
        statement = statement.where(_tuple_above(columns, edges))
    return compile_text(statement.order_by(*columns).limit(bindparam("size")), dialect)


def _tuple_above(columns: list[Any], edges: list[Any]) -> Any:
    return tuple_(*columns) > tuple_(*edges)


def list_events(
    tx: Tx, after: int, uid: str | None, types: tuple[str, ...], limit: int
) -> list[Event]:
    """Return events after the cursor; see `Store.list_events`."""
    values: dict[str, Any] = {"after": after, "size": page_size(limit)}
    values |= {f"type_{at}": name for at, name in enumerate(types)}
    if uid is not None:
        values["of_run"] = run_id_of(tx, uid)
    statement, order = _event_page(tx.name, uid is not None, len(types))
    return [event_from_row(row) for row in tx.select(statement, tuple(values[n] for n in order))]


@lru_cache(maxsize=64)
def _event_page(dialect: str, of_run: bool, types: int) -> tuple[str, list[str]]:
    columns = [run.c.uid if column.name == "run_id" else column for column in event.columns]
    statement = (
        select(*columns)
        .outerjoin_from(event, run, event.c.run_id == run.c.id)
        .where(event.c.cursor > bindparam("after"))
    )
    if of_run:
        statement = statement.where(event.c.run_id == bindparam("of_run"))
    if types:
        statement = statement.where(
            or_(*(event.c.type == bindparam(f"type_{at}") for at in range(types)))
        )
    # Within a run both orders are one, and `seq` has an index.
    statement = statement.order_by(event.c.seq if of_run else event.c.cursor)
    return compile_text(statement.limit(bindparam("size")), dialect)
