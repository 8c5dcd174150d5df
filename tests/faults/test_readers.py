"""Fifty who read, through the daemon and beside it, never keep the writer out, and its log stays short."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Self

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from tests.faults import witness
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workstation import Workstation

MIB = 1024**2
WAL_MAX = 64 * MIB
BESIDE = 5


class Readers:
    """Threads that read until told to stop, and what went wrong for them."""

    def __init__(self, station: Workstation, number: int) -> None:
        self.errors: list[str] = []
        self.reads = 0
        self._station = station
        self._over = threading.Event()
        ways = [self._beside] * BESIDE + [self._through] * (number - BESIDE)
        self._threads = [threading.Thread(target=self._read, args=(way,)) for way in ways]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _read(self, way: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                way()
                self.reads += 1
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            self._over.wait(0.2)

    def _through(self) -> None:
        with Client(transport=UnixTransport(self._station.socket_path)) as client:
            page = client.runs.list(limit=50)
            for run in page.items[:2]:
                client.runs.get(run.uid)

    def _beside(self) -> None:
        """Read as a backup program would, in one long transaction."""
        with closing(self._station.database()) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM run").fetchone()
            self._over.wait(0.5)
            connection.execute("SELECT count(*) FROM event").fetchone()


def written_among_readers(seconds: float, note: Callable[[str, object], None]) -> None:
    with workstation() as station:
        station.module("witness", witness.SOURCE)
        station.start()
        wal = next(station.home.rglob("flowdapt.db")).with_name("flowdapt.db-wal")
        largest = runs = 0
        with Client(transport=UnixTransport(station.socket_path)) as client:
            client.apply([workflow("w", stage("a", "user_modules.witness.numbers"))])
            with Readers(station, 50) as readers:
                ends = time.monotonic() + seconds
                while time.monotonic() < ends:
                    assert client.run("w", {"n": 500}, wait=True).state == "finished"
                    runs += 1
                    largest = max(largest, wal.stat().st_size)
        assert readers.errors == []
        assert readers.reads > 50
        assert "database is locked" not in station.output()
        assert largest <= WAL_MAX
        note(
            "F29 runs written, reads, largest log",
            f"{runs}, {readers.reads}, {largest / MIB:.1f} MiB",
        )
        station.doctor()


def test_fifty_readers_never_lock_the_writer_out(
    record_property: Callable[[str, object], None],
) -> None:
    written_among_readers(5.0, record_property)


@pytest.mark.faults
def test_fifty_readers_for_ten_minutes_never_lock_the_writer_out(
    record_property: Callable[[str, object], None],
) -> None:
    written_among_readers(600.0, record_property)
