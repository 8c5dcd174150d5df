"""Build the list of runs: which rows, in which order, and where the next page begins.

A statement is compiled once per shape of the question; the values stay parameters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.run import RunRecord, RunState
from flowdapt.ports.store import Page, RunFilter
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.dialects import SQLITE, compile_text
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.records import (
    labels_text,
    micros,
    run_from_row,
)
from flowdapt.stores.rows import OPEN_RUN, TERMINAL_RUN, table

__all__ = ["SORTS", "list_runs"]

run = table("run")

# A run that has not come so far sorts as the oldest.
_MISSING = -1
SORTS: Mapping[str, ColumnElement[Any]] = {
    "created": run.c.id,
    "started": func.coalesce(run.c.started_at, _MISSING),
    "finished": func.coalesce(run.c.finished_at, _MISSING),
    "duration": func.coalesce(run.c.finished_at - run.c.started_at, _MISSING),
}
_ENDED = frozenset(state.value for state in RunState if state.terminal)
_HEAVY = ("definition", "config", "input", "result")


class _Shape(NamedTuple):
    """What a question looks like, without its values."""

    dialect: str
    sort: str
    states: int = 0
    # Which of the partial indexes of `run` holds all of these states, if one does.
    within: str = ""
    labels: int = 0
    given: frozenset[str] = frozenset()
    paged: bool = False


def list_runs(tx: Tx, where: RunFilter, cursor: str | None, limit: int) -> Page[RunRecord]:
    """Return a page of runs; see `Store.list_runs`."""
    sort = where.sort.removeprefix("-")
    if sort not in SORTS:
        raise InvalidInput(f"cannot sort by {sort!r}", fix=f"sort by one of {', '.join(SORTS)}")
    size = page_size(limit)
    after = None if cursor is None else read_cursor(where.sort, cursor, int, int)
    rows = _rows(tx, where, after, size + 1)
    following = None
    if len(rows) > size:
        last = rows[size - 1]
        following = write_cursor(where.sort, last[-1], last[0])
    return Page([run_from_row(row) for row in rows[:size]], following)


def _rows(tx: Tx, where: RunFilter, after: list[int] | None, count: int) -> list[Row]:
    if _in_order_of_ids(where) and len(where.states) > 1:
        # Each state has its own ordered index; no index has two of them in one order.
        each = [replace(where, states=frozenset([state])) for state in where.states]
        found = [row for one in each for row in _rows(tx, one, after, count)]
        return sorted(found, key=itemgetter(0), reverse=where.sort.startswith("-"))[:count]
    values = _values(where)
    if after is not None:
        values["after_key"], values["after_id"] = after
    statement, order = _compiled(_shape(tx.name, where, values, paged=after is not None))
    values["size"] = count
    return tx.select(statement, tuple(values[name] for name in order))


def _in_order_of_ids(where: RunFilter) -> bool:
    return where.sort.removeprefix("-") == "created"


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
    given = frozenset(name for name in values if not name.startswith(("state_", "label_", "after")))
    return _Shape(
        dialect,
        where.sort,
        len(where.states),
        _within(where.states),
        len(where.labels or {}),
        given,
        paged,
    )


def _within(states: Collection[str]) -> str:
    terminal = {state in _ENDED for state in states}
    if len(terminal) != 1:
        return ""
    return TERMINAL_RUN if terminal.pop() else OPEN_RUN


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
    if shape.within == OPEN_RUN:
        # Open runs are few: sort them, instead of walking over all runs in order.
        key = key + literal_column("0")
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
    if shape.within:
        # Says no more, but lets planners see that a partial index serves.
        conditions.append(text(f"({shape.within})"))
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
