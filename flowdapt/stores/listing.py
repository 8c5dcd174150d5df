"""Build the lists: which rows, in which order, and where the next page begins.

A statement is compiled once per shape of the question; the values stay parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    tuple_,
)

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.events import Event
from flowdapt.domain.run import ItemRecord, RunRecord, RunState, TaskRecord
from flowdapt.ports.store import Page, RunFilter
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.dialects import SQLITE, compile_text
from flowdapt.stores.lanes import Row, Tx
from flowdapt.stores.reading import run_id_of
from flowdapt.stores.records import (
    event_from_row,
    item_from_row,
    labels_text,
    micros,
    run_from_row,
    task_from_row,
)
from flowdapt.stores.rows import TERMINAL_RUN, table

__all__ = ["SORTS", "StageQuery", "list_events", "list_items", "list_runs", "list_tasks"]

run, task, item, event = table("run"), table("task"), table("item"), table("event")

# A run that has not come so far sorts as the oldest.
_MISSING = -1
SORTS: Mapping[str, ColumnElement[Any]] = {
    "created": run.c.id,
    "started": func.coalesce(run.c.started_at, _MISSING),
    "finished": func.coalesce(run.c.finished_at, _MISSING),
    "duration": func.coalesce(run.c.finished_at - run.c.started_at, _MISSING),
}
_HEAVY = ("definition", "config", "input", "result")


class _Shape(NamedTuple):
    """What a question looks like, without its values."""

    dialect: str
    sort: str
    states: int = 0
    ended: bool = False
    labels: int = 0
    given: frozenset[str] = frozenset()
    paged: bool = False


def list_runs(tx: Tx, where: RunFilter, cursor: str | None, limit: int) -> Page[RunRecord]:
    """Return a page of runs; see `Store.list_runs`."""
    sort = where.sort.removeprefix("-")
    if sort not in SORTS:
        raise InvalidInput(f"cannot sort by {sort!r}", fix=f"sort by one of {', '.join(SORTS)}")
    size = page_size(limit)
    values = _values(where)
    if cursor is not None:
        values["after_key"], values["after_id"] = read_cursor(where.sort, cursor, int, int)
    statement, order = _compiled(_shape(tx.name, where, values, paged=cursor is not None))
    values["size"] = size + 1
    rows = tx.select(statement, tuple(values[name] for name in order))
    following = None
    if len(rows) > size:
        last = rows[size - 1]
        following = write_cursor(where.sort, last[-1], last[0])
    return Page([run_from_row(row) for row in rows[:size]], following)


def _values(where: RunFilter) -> dict[str, Any]:
    given = {
        "workflow": where.workflow,
        "namespace": where.namespace,
        "parent": where.parent,
        "since": micros(where.since),
        "until": micros(where.until),
    }
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if where.q:
        values |= {"q_first": where.q, "q_last": where.q + chr(0x10FFFF), "q_part": where.q}
    for at, state in enumerate(sorted(where.states)):
        values[f"state_{at}"] = str(state)
    for at, pair in enumerate(sorted((where.labels or {}).items())):
        values[f"label_{at}"] = labels_text(dict([pair]))[1:-1]
    return values


def _shape(dialect: str, where: RunFilter, values: Mapping[str, Any], *, paged: bool) -> _Shape:
    ended = bool(where.states) and all(RunState(state).terminal for state in where.states)
    given = frozenset(name for name in values if not name.startswith(("state_", "label_", "after")))
    return _Shape(
        dialect, where.sort, len(where.states), ended, len(where.labels or {}), given, paged
    )


@lru_cache(maxsize=256)
def _compiled(shape: _Shape) -> tuple[str, list[str]]:
    key = SORTS[shape.sort.removeprefix("-")]
    columns = [
        text(f"{_empty(shape.dialect, column.name)} AS {column.name}")
        if column.name in _HEAVY
        else column
        for column in run.columns
    ]
    down = shape.sort.startswith("-")
    statement: Select[Any] = select(*columns, key.label("sort_key")).where(*_conditions(shape))
    if shape.paged:
        statement = statement.where(_beyond(key, run.c.id, down=down))
    ordering = (key.desc(), run.c.id.desc()) if down else (key, run.c.id)
    statement = statement.order_by(*ordering).limit(bindparam("size", type_=BigInteger()))
    return compile_text(statement, shape.dialect)


def _empty(dialect: str, column: str) -> str:
    """Return what lists hold in place of what may be large."""
    if column in ("definition", "config"):
        return "''"
    return "NULL" if dialect == SQLITE else "NULL::bytea"


def _beyond(key: ColumnElement[Any], ident: ColumnElement[Any], *, down: bool) -> Any:
    edge, last = (
        bindparam("after_key", type_=BigInteger()),
        bindparam("after_id", type_=BigInteger()),
    )
    if key is ident:
        return ident < last if down else ident > last
    # The first half is implied by the second; it shows planners where the index begins.
    place, end = tuple_(key, ident), tuple_(edge, last)
    return and_(key <= edge, place < end) if down else and_(key >= edge, place > end)


def _conditions(shape: _Shape) -> list[Any]:
    conditions: list[Any] = [
        getattr(run.c, name) == bindparam(name)
        for name in ("workflow", "namespace", "parent")
        if name in shape.given
    ]
    if "since" in shape.given:
        conditions.append(run.c.created_at >= bindparam("since"))
    if "until" in shape.given:
        conditions.append(run.c.created_at < bindparam("until"))
    if shape.states:
        marks: list[Any] = [bindparam(f"state_{at}") for at in range(shape.states)]
        conditions.append(or_(*(run.c.state == mark for mark in marks)))
    if shape.ended:
        # Says no more, but lets the planner use the index of ended runs.
        conditions.append(text(f"({TERMINAL_RUN})"))
    if "q_part" in shape.given:
        conditions.append(_matches_text())
    conditions += [_contains(run.c.labels, f"label_{at}") for at in range(shape.labels)]
    return conditions


def _matches_text() -> Any:
    first: Any = bindparam("q_first")
    last: Any = bindparam("q_last")
    return or_(
        and_(run.c.name >= first, run.c.name < last),
        and_(run.c.uid >= first, run.c.uid < last),
        _contains(run.c.workflow, "q_part"),
    )


def _contains(column: ColumnElement[Any], name: str) -> Any:
    """Search exactly; LIKE would fold case on one database and not on the other."""
    return func.replace(column, bindparam(name), "") != column


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
    return compile_text(statement.order_by(event.c.cursor).limit(bindparam("size")), dialect)
