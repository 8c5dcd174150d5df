"""The schema: one result whichever way it came about, and no state in between."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from flowdapt.domain.errors import CorruptStore, NewerStore, StartRefused, StoreUnwritable
from flowdapt.ports.store import RunFilter
from flowdapt.services.clock import SystemClock
from flowdapt.stores import migrating, schema
from flowdapt.stores.sql import SqlStore
from flowdapt.stores.sqlite_base import SqliteBase, migrate_file
from flowdapt.testing.store_records import finish, new_run

# A step as a later release may make it: a table copied in batch mode, and rows rewritten.
SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade():
    with op.batch_alter_table("run") as run:
        run.add_column(sa.Column("colour", sa.Text(), nullable=False, server_default="blue"))
        run.create_check_constraint("colour", "colour <> ''")
    op.execute("UPDATE run SET colour = 'green' WHERE state = 'finished'")
    op.create_table("note", sa.Column("id", sa.Integer(), primary_key=True))
"""


def lines(path: Path) -> set[str]:
    """Return the schema of a file: a line for each column, constraint and index."""
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute(
            "SELECT type, tbl_name, sql FROM sqlite_master WHERE sql <> ''"
        ).fetchall()
        columns = {
            f"{table}: {column[1:]}"
            for kind, table, _ in made
            for column in connection.execute(f"PRAGMA table_info({table})")
            if kind == "table" and table != schema.VERSION_TABLE
        }
    return columns | {
        f"{table}: {plain(line)}"
        for kind, table, text in made
        for line in text.splitlines()
        if table != schema.VERSION_TABLE
        and (kind == "index" or plain(line).startswith(("constraint", "primary", "foreign")))
    }


def plain(line: str) -> str:
    return re.sub(r'[\s"]+', " ", line).strip().rstrip(",)").lower()


def postgres_lines(url: str) -> set[str]:
    columns = """
        SELECT table_name, column_name, data_type, is_nullable, coalesce(collation_name, ''),
               coalesce(column_default, '')
        FROM information_schema.columns WHERE table_schema = 'public'"""
    indexes = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    constraints = """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace"""
    with psycopg.connect(url) as connection:
        return {
            str(row)
            for query in (columns, indexes, constraints)
            for row in connection.execute(query)
        }


@pytest.fixture
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The migrations of a release that is one step ahead."""
    place = tmp_path_factory.mktemp("next") / "migrations"
    shutil.copytree(schema.MIGRATIONS, place, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "versions" / "0004_colour.py").write_text(SECOND)
    return place


async def write_two_runs(database: Path) -> None:
    store = SqlStore(SqliteBase(database, SystemClock()))
    await store.open()
    done = await store.submit(new_run(owner="me", uid="a" * 32))
    await finish(store, done.run, done.stages)
    await store.submit(new_run(uid="b" * 32))
    await store.close()


def test_the_head_is_the_newest_migration() -> None:
    assert schema.known_versions()[-1] == schema.HEAD


@pytest.mark.trio
async def test_a_fresh_database_equals_a_migrated_one(tmp_path: Path) -> None:
    fresh, migrated = tmp_path / "fresh.db", tmp_path / "migrated.db"
    store = SqlStore(SqliteBase(fresh, SystemClock()))
    await store.open()
    await store.close()
    migrated.touch()
    migrate_file(migrated, schema.MIGRATIONS)
    assert lines(fresh) == lines(migrated)


def test_a_fresh_postgresql_equals_a_migrated_one(postgres_cluster: Any) -> None:
    fresh, migrated = postgres_cluster.new_database(), postgres_cluster.new_database()
    with psycopg.connect(fresh) as connection:
        for statement in schema.creation("postgresql"):
            connection.execute(statement.encode())
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(migrated), poolclass=NullPool
    )
    with engine.begin() as connection:
        migrating.migrate(connection)
    engine.dispose()
    assert postgres_lines(fresh) == postgres_lines(migrated)


@pytest.mark.trio
async def test_an_older_schema_is_backed_up_and_migrated(
    database: Path, next_release: Path
) -> None:
    await write_two_runs(database)
    indexes = {line for line in lines(database) if "index ix_run" in line}
    store = SqlStore(SqliteBase(database, SystemClock(), migrations=next_release))
    await store.open()
    info = await store.info()
    runs = (await store.list_runs(RunFilter())).items
    await store.close()
    assert info.schema == "0004"
    assert len(runs) == 2
    with closing(sqlite3.connect(database)) as connection:
        colours = dict(connection.execute("SELECT state, colour FROM run").fetchall())
        stages = connection.execute("SELECT count(*) FROM stage").fetchone()
    assert {line for line in lines(database) if "index ix_run" in line} == indexes
    assert colours == {"finished": "green", "queued": "blue"}
    assert stages == (4,), "copying `run` must not cascade"
    (backup,) = (database.parent / "backups").iterdir()
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0003",)
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (2,)


@pytest.mark.trio
async def test_a_newer_schema_is_refused_and_left_alone(database: Path, next_release: Path) -> None:
    await write_two_runs(database)
    migrate_file(database, next_release)
    before = lines(database)
    with pytest.raises(NewerStore):
        await SqlStore(SqliteBase(database, SystemClock())).open()
    assert lines(database) == before


@pytest.mark.trio
async def test_without_room_for_the_backup_nothing_is_touched(
    database: Path, next_release: Path
) -> None:
    await write_two_runs(database)
    before = lines(database)
    base = SqliteBase(
        database, SystemClock(), migrations=next_release, free_bytes=lambda _: 100_000
    )
    with pytest.raises(StoreUnwritable, match="no room"):
        await SqlStore(base).open()
    assert lines(database) == before
    assert not (database.parent / "backups").exists()


# Die one statement later each time, until the migration succeeds; look at the file in between.
KILLS = """
import os, sqlite3, sys
from contextlib import closing
from pathlib import Path
from flowdapt.stores import sqlite_base
from flowdapt.stores.sqlite import connect

database, migrations = map(Path, sys.argv[1:])

def schema():
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()

def die_at(number):
    seen = 0
    def trace(_):
        nonlocal seen
        seen += 1
        if seen == number:
            os._exit(9)
    def traced(path):
        connection = connect(path)
        connection.set_trace_callback(trace)
        return connection
    sqlite_base.connect = traced
    sqlite_base.migrate_file(database, migrations)
    os._exit(0)

old, deaths = schema(), 0
import alembic.runtime.environment, alembic.script, sqlalchemy.dialects.sqlite
while True:
    child = os.fork()
    if child == 0:
        die_at(deaths + 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        break
    assert code == 9, code
    deaths += 1
    assert schema() == old, f"between two schemas after statement {deaths}"
print(deaths)
"""


@pytest.mark.trio
async def test_a_migration_killed_at_any_statement_leaves_the_old_schema(
    database: Path, next_release: Path
) -> None:
    await write_two_runs(database)
    done = subprocess.run(
        [sys.executable, "-c", KILLS, database, next_release],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0004",)
        assert connection.execute("SELECT count(*) FROM stage").fetchone() == (4,)


@pytest.mark.trio
async def test_a_database_of_somebody_else_is_refused(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
    with pytest.raises(CorruptStore, match="not one of flowdapt"):
        await SqlStore(SqliteBase(database, SystemClock())).open()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


@pytest.mark.trio
@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite://x", "nonsense"])
async def test_a_url_of_no_known_database_is_refused(tmp_path: Path, url: str) -> None:
    from flowdapt.stores.factory import create_store

    with pytest.raises(StartRefused):
        create_store(url, data_dir=tmp_path, clock=SystemClock())
