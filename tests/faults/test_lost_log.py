"""The database's log is deleted or swapped after a kill: damage is told, or an older whole state is gone on with."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import workstation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.workstation import Workstation

pytestmark = pytest.mark.faults

DAMAGED = 65


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation() as made:
        made.module("witness", witness.SOURCE)
        yield made


def log_of(station: Workstation) -> Path:
    return station.home / "flowdapt.db-wal"


def work(station: Workstation, runs: int) -> list[str]:
    """Submit runs and return once half of them have ended: the others are under way."""
    with Client(transport=UnixTransport(station.socket_path)) as client:
        client.apply([witness.diamonds("load", width=4, depth=3)])
        uids = [client.run("load").uid for _ in range(runs)]
        eventually(
            lambda: sum(client.runs.get(uid).state.terminal for uid in uids) >= runs / 2,
            timeout_s=60, every_s=0.1,
        )  # fmt: skip
    return uids


def foreign_log(directory: Path) -> Path:
    """Return the log of a database of somebody else's, whole in itself."""
    database, kept = directory / "other.db", directory / "kept"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE other (words TEXT)")
        connection.executemany("INSERT INTO other VALUES (?)", [("x" * 3000,)] * 50)
        shutil.copy(database.with_name("other.db-wal"), kept)
    return kept


def another_daemons_log(directory: Path) -> Path:
    """Return the log of another flowdapt, with the same tables and other rows."""
    with workstation() as other:
        other.module("witness", witness.SOURCE)
        other.start()
        work(other, 2)
        other.kill()
        shutil.copy(log_of(other), directory / "kept")
    return directory / "kept"


def refused(station: Workstation) -> bool:
    """Start; return whether that was refused as damage, with the files moved aside."""
    process = station.spawn()
    with suppress(AssertionError):
        eventually(lambda: process.poll() is not None or _answers(station), timeout_s=30)
    if process.poll() is None:
        return False
    assert process.returncode == DAMAGED, station.output()
    assert "is damaged" in station.output()
    assert list(station.home.glob("damaged-*/flowdapt.db"))
    return True


def _answers(station: Workstation) -> bool:
    try:
        with Client(transport=UnixTransport(station.socket_path)) as client:
            return bool(client.status())
    except Exception:
        return False


def goes_on(station: Workstation, uids: list[str]) -> int:
    """Fail unless what is there is whole and ends well; return how many of the runs are known."""
    with Client(transport=UnixTransport(station.socket_path)) as client:
        known = {run.uid for run in client.runs.list(limit=200).items}
        assert known <= set(uids), "runs that nobody submitted"
        for uid in known:
            eventually(lambda uid=uid: client.runs.get(uid).state == "finished", timeout_s=60)
        later = client.run("load", wait=True) if known else None
        assert later is None or later.state == "finished"
    station.doctor()
    return len(known)


def test_a_deleted_log_is_told_and_leaves_an_older_whole_state(station: Workstation) -> None:
    station.start()
    uids = work(station, 8)
    station.kill()
    log_of(station).unlink()
    if not refused(station):
        assert "the database's log is gone" in station.output()
        goes_on(station, uids)


@pytest.mark.parametrize("whose", [foreign_log, another_daemons_log])
def test_the_log_of_another_database_is_told_as_damage(
    station: Workstation, tmp_path: Path, whose: Callable[[Path], Path]
) -> None:
    kept = whose(tmp_path)
    station.start()
    work(station, 8)
    station.kill()
    shutil.copy(kept, log_of(station))
    assert refused(station), station.output()


@pytest.mark.parametrize("checkpoint_between", [False, True])
def test_an_older_log_is_told_as_damage_or_leaves_an_older_whole_state(
    station: Workstation, tmp_path: Path, checkpoint_between: bool
) -> None:
    station.start()
    uids = work(station, 4)
    shutil.copy(log_of(station), tmp_path / "older")
    time.sleep(0.05)
    uids += work(station, 4)
    if checkpoint_between:
        with closing(sqlite3.connect(station.home / "flowdapt.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(FULL)")
        uids += work(station, 4)
    station.kill()
    shutil.copy(tmp_path / "older", log_of(station))
    if not refused(station):
        goes_on(station, uids)
