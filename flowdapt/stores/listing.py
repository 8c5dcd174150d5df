"""Build the list of runs: which rows, in which order, and where the next page begins.

Conditions are spelled so that planners see which index serves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from operator import itemgetter

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.records import RunRecord
from flowdapt.domain.run import RunState
from flowdapt.ports.store import Page, RunFilter
from flowdapt.stores.asking import Question
from flowdapt.stores.conditions import OPEN_RUN, TERMINAL_RUN
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.prepared import COLUMNS
from flowdapt.stores.records import (
    labels_text,
    micros,
    run_from_row,
)

__all__ = ["SORTS", "list_runs"]

# A run that has not come so far sorts as the oldest.
SORTS: Mapping[str, str] = {
    "created": "run.id",
    "started": "coalesce(run.started_at, -1)",
    "finished": "coalesce(run.finished_at, -1)",
    "duration": "coalesce(run.finished_at - run.started_at, -1)",
}
_EVERY = frozenset(state.value for state in RunState)
_ENDED = frozenset(state.value for state in RunState if state.terminal)
# What lists hold in place of what may be large.
_EMPTY = {"definition": "''", "config": "''", "input": "NULL", "result": "NULL"}
_COLUMNS = ", ".join(
    f"{_EMPTY[name]} AS {name}" if name in _EMPTY else f"run.{name}" for name in COLUMNS["run"]
)


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
    states = where.states or (_EVERY if where.trigger is not None else frozenset())
    if _in_order_of_ids(where) and len(states) > 1:
        # Each state has its own ordered index; no index has two of them in one order.
        each = [replace(where, states=frozenset([state])) for state in states]
        found = [row for one in each for row in _rows(tx, one, after, count)]
        return sorted(found, key=itemgetter(0), reverse=where.sort.startswith("-"))[:count]
    question, order = _question(where, after)
    return question.ask(tx, order, count)


def _in_order_of_ids(where: RunFilter) -> bool:
    return where.sort.removeprefix("-") == "created"


def _question(where: RunFilter, after: list[int] | None) -> tuple[Question, str]:
    """Return the question and the order of its rows."""
    down = where.sort.startswith("-")
    key = SORTS[where.sort.removeprefix("-")]
    question = Question(f"{_COLUMNS}, {key} AS sort_key", "run")
    _narrow(question, where)
    within = _within(where.states)
    if within:
        # Says no more, but lets planners see that a partial index serves.
        question.where(f"({within})")
    if after is not None:
        _go_on(question, key, after, "<" if down else ">")
    # Open runs are few: sort them, instead of walking over all runs in order.
    ordered = f"{key} + 0" if within == OPEN_RUN else key
    way = " DESC" if down else ""
    return question, f"{ordered}{way}, run.id{way}"


def _narrow(question: Question, where: RunFilter) -> None:
    given = {
        "run.workflow = ?": where.workflow,
        "run.namespace = ?": where.namespace,
        "run.parent = ?": where.parent,
        "run.trigger_rule = ?": where.trigger,
        "run.created_at >= ?": micros(where.since),
        "run.created_at < ?": micros(where.until),
    }
    for condition, value in given.items():
        if value is not None:
            question.where(condition, value)
    _narrow_duration(question, where)
    question.either("run.state = ?", [str(state) for state in sorted(where.states)])
    if where.q:
        question.where(
            "(run.name >= ? AND run.name < ? OR run.uid >= ? AND run.uid < ? "
            f"OR {_contains('workflow')})",
            *(where.q, where.q + chr(0x10FFFF)) * 2,
            where.q,
        )
    for pair in sorted((where.labels or {}).items()):
        question.where(_contains("labels"), labels_text(dict([pair]))[1:-1])


def _narrow_duration(question: Question, where: RunFilter) -> None:
    took = SORTS["duration"]
    if where.longer_s is not None:
        question.where(f"{took} > ?", round(where.longer_s * 1_000_000))
    if where.shorter_s is not None:
        # A run that has not ended counts as -1.
        question.where(f"{took} >= 0 AND {took} < ?", round(where.shorter_s * 1_000_000))


def _contains(column: str) -> str:
    """Search exactly; LIKE would fold case on one database and not on the other."""
    return f"replace(run.{column}, ?, '') <> run.{column}"


def _within(states: Collection[str]) -> str:
    """Return which of the partial indexes of `run` holds all of these states, if one does."""
    terminal = {state in _ENDED for state in states}
    if len(terminal) != 1:
        return ""
    return TERMINAL_RUN if terminal.pop() else OPEN_RUN


def _go_on(question: Question, key: str, after: list[int], sign: str) -> None:
    edge, last = after
    if key == SORTS["created"]:
        question.where(f"run.id {sign} ?", last)
    else:
        # The first half is implied by the second; it shows planners where the index begins.
        question.where(f"{key} {sign}= ? AND ({key}, run.id) {sign} (?, ?)", edge, edge, last)
