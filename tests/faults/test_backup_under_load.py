"""Backups that are written while a daemon works: each is one whole moment of its past, and can be gone on from."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import Workstation, workstation

BACKUPS = 5
ROWS = "SELECT id, uid, state, finished_at, next_seq FROM run ORDER BY id"
ENDED = ("finished", "failed", "cancelled")


def load(station: Workstation, over: threading.Event, uids: list[str]) -> None:
    with Client(transport=UnixTransport(station.socket_path)) as client:
        while not over.is_set():
            uids.append(client.run("load").uid)
            over.wait(0.05)


@pytest.mark.faults
def test_a_backup_under_load_is_a_past_moment_and_can_be_gone_on_from() -> None:
    with workstation() as station:
        station.module("witness", witness.SOURCE)
        station.start()
        uids: list[str] = []
        copies: list[Path] = []
        over = threading.Event()
        with Client(transport=UnixTransport(station.socket_path)) as client:
            client.apply([witness.diamonds("load", width=3, depth=2)])
            loading = threading.Thread(target=load, args=(station, over, uids))
            loading.start()
            try:
                for number in range(BACKUPS):
                    wanted = (number + 1) * 5
                    eventually(lambda wanted=wanted: len(uids) >= wanted)
                    path = Path(client.backup()["path"])
                    copies.append(path.rename(station.home / f"copy-{number}.db"))
            finally:
                over.set()
                loading.join(30)
            for uid in uids:
                eventually(lambda uid=uid: client.runs.get(uid).state.terminal, timeout_s=60)
        with closing(station.database()) as connection:
            final = {row[0]: row for row in connection.execute(ROWS)}
        for copy in copies:
            is_a_past_moment(copy, final)
        assert station.end() == 0
        # The newest copy but one: there was more to do then than is done in it.
        goes_on_from(copies[-2], station, final)


def is_a_past_moment(copy: Path, final: dict[int, tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute(ROWS).fetchall()
        torn = (
            "SELECT count(*) FROM run WHERE next_seq - 1 <> "
            "(SELECT count(*) FROM event WHERE run_id = run.id)"
        )
        assert connection.execute(torn).fetchone() == (0,)
    assert [row[0] for row in rows] == sorted(final)[: len(rows)], "a gap among the runs"
    assert rows
    for row in rows:
        then, now = row, final[row[0]]
        assert then[1] == now[1]
        assert then == now if then[2] in ENDED else then[4] <= now[4]  # type: ignore[operator]  # numbers


def goes_on_from(copy: Path, station: Workstation, final: dict[int, tuple[object, ...]]) -> None:
    kept = station.home / "backups" / copy.name
    shutil.copy(copy, kept)
    restored = station.cli("db", "restore", str(kept), "--yes")
    assert restored.returncode == 0, restored.stderr
    station.start()
    with Client(transport=UnixTransport(station.socket_path)) as client:
        known = [run.uid for run in client.runs.list(limit=200).items]
        assert set(known) <= {str(row[1]) for row in final.values()}
        for uid in known:
            eventually(lambda uid=uid: client.runs.get(uid).state == "finished", timeout_s=60)
    assert station.end() == 0
    station.doctor()
