"""What is asked often is answered from an index, however many runs there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flowdapt.services.clock import SystemClock
from flowdapt.stores import side_statements, statements
from flowdapt.stores.dialects import SQLITE, Sql
from flowdapt.stores.listing import _compiled, _Shape
from flowdapt.stores.rows import OPEN_RUN, TERMINAL_RUN
from flowdapt.stores.sqlite_base import SqliteBase

# Small tables, and what runs once in a while.
MAY_SCAN = {"LIST_SERVICES", "META_KEYS", "SWEEP_DOCUMENTS"}


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
    return [
        (name, sql)
        for module in (statements, side_statements)
        for name, sql in vars(module).items()
        if isinstance(sql, Sql)
    ]


@pytest.mark.parametrize(("name", "sql"), named())
def test_no_statement_walks_over_all_runs(
    connection: sqlite3.Connection, name: str, sql: Sql
) -> None:
    steps = plan(connection, sql.text(SQLITE))
    walks = [s for s in steps if s.startswith("SCAN") and not small(s)]
    assert name in MAY_SCAN or walks == []


def small(step: str) -> bool:
    """Say whether the walk is over open runs alone, or counts ended ones by state."""
    return any(index in step for index in ("ix_run_queue", "ix_run_open", "ix_run_ended"))


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        (_Shape(SQLITE, "-created"), "SCAN run"),
        (_Shape(SQLITE, "-created", paged=True), "INTEGER PRIMARY KEY (rowid<?)"),
        (_Shape(SQLITE, "created", paged=True), "INTEGER PRIMARY KEY (rowid>?)"),
        (_Shape(SQLITE, "-created", 1, TERMINAL_RUN), "ix_run_ended (state=?)"),
        (_Shape(SQLITE, "-created", 1, OPEN_RUN), "ix_run_open"),
        (_Shape(SQLITE, "-created", given=frozenset({"workflow"})), "ix_run_workflow"),
        (_Shape(SQLITE, "-created", given=frozenset({"parent"})), "ix_run_parent"),
        (_Shape(SQLITE, "-started", paged=True), "ix_run_started (<expr><?)"),
        (_Shape(SQLITE, "finished", paged=True), "ix_run_finished (<expr>>?)"),
        (_Shape(SQLITE, "-duration"), "ix_run_duration"),
    ],
)
def test_a_list_reads_its_page_from_an_index(
    connection: sqlite3.Connection, shape: _Shape, index: str
) -> None:
    text, _ = _compiled(shape)
    steps = plan(connection, text)
    assert index in steps[0]
    assert not any("TEMP B-TREE" in step for step in steps) or shape.within == OPEN_RUN
