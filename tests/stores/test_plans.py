"""What is asked often is answered from an index, however many runs there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flowdapt.domain.run import RunState
from flowdapt.ports.store import RunFilter
from flowdapt.services.clock import SystemClock
from flowdapt.stores import prepared
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.listing import _question
from flowdapt.stores.named import Sql
from flowdapt.stores.sqlite_base import SqliteBase

# Small tables, and what runs once in a while.
MAY_SCAN = {
    "GET_ACTIVE", "LIST_PROFILES", "LIST_RULE_STATES", "LIST_SERVICES", "META_KEYS", "SWEEP_DOCUMENTS",
}  # fmt: skip


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path: Path = tmp_path_factory.mktemp("plans") / "flowdapt.db"
    SqliteBase(path, SystemClock()).open()
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def plan(connection: sqlite3.Connection, text: str) -> list[str]:
    marks = (None,) * text.count("?")
    return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", marks)]


def named() -> list[tuple[str, Sql]]:
    return [(name, sql) for name, sql in vars(prepared).items() if isinstance(sql, Sql)]


@pytest.mark.parametrize(("name", "sql"), named())
def test_no_statement_walks_over_all_runs(
    connection: sqlite3.Connection, name: str, sql: Sql
) -> None:
    steps = plan(connection, sql.text(SQLITE))
    walks = [s for s in steps if s.startswith("SCAN") and not small(s)]
    assert name in MAY_SCAN or walks == []


def small(step: str) -> bool:
    """Say whether the walk is over open runs or waiting fires alone, or counts ended runs by state."""
    few = ("ix_run_queue", "ix_run_open", "ix_run_ended", "ix_fire_waiting")
    return any(index in step for index in few)


OPEN = frozenset({RunState.RUNNING})
ENDED = frozenset({RunState.FAILED})


@pytest.mark.parametrize(
    ("where", "paged", "index"),
    [
        (RunFilter(sort="-created"), False, "SCAN run"),
        (RunFilter(sort="-created"), True, "INTEGER PRIMARY KEY (rowid<?)"),
        (RunFilter(sort="created"), True, "INTEGER PRIMARY KEY (rowid>?)"),
        (RunFilter(sort="-created", states=ENDED), False, "ix_run_ended (state=?)"),
        (RunFilter(sort="-created", states=OPEN), False, "ix_run_open"),
        (RunFilter(sort="-created", workflow="w"), False, "ix_run_workflow"),
        (RunFilter(sort="-created", parent="p"), False, "ix_run_parent"),
        (RunFilter(sort="-created", trigger="t", states=ENDED), False, "ix_run_rule"),
        (RunFilter(sort="-started"), True, "ix_run_started (<expr><?)"),
        (RunFilter(sort="finished"), True, "ix_run_finished (<expr>>?)"),
        (RunFilter(sort="-duration"), False, "ix_run_duration"),
    ],
)
def test_a_list_reads_its_page_from_an_index(
    connection: sqlite3.Connection, where: RunFilter, paged: bool, index: str
) -> None:
    question, order = _question(where, [1, 1] if paged else None)
    steps = plan(connection, question.written(SQLITE, order, 100)[0])
    assert index in steps[0]
    assert not any("TEMP B-TREE" in step for step in steps) or where.states == OPEN
