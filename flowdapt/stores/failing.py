"""Decide when a disk is given up: at its third error of input or output within an hour.

A file system that became read-only is none of these: it refuses what it is asked, and heals when it can
be written again. Who ends the daemon is not decided here.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from flowdapt.domain.errors import StoreUnwritable
from flowdapt.logs import get_log
from flowdapt.stores.sqlite_errors import primary_code

__all__ = ["Strikes"]

STRIKES = 3
WITHIN_S = 3600.0
# A read that fails is told as damage when it was the page that every transaction begins with.
_OF_DISKS = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

log = get_log("flowdapt.store")


class Strikes:
    """The errors of one disk, met by any thread; `give_up` is told once, in the thread that met the last."""

    def __init__(
        self,
        path: Path,
        give_up: Callable[[StoreUnwritable], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._give_up = give_up
        self._monotonic = monotonic
        self._met: deque[float] = deque(maxlen=STRIKES)
        self._lock = threading.Lock()
        self.given_up = False

    def count(self, error: BaseException) -> None:
        """Take note of an error; those that do not speak of a failing disk are let pass."""
        if not isinstance(error, sqlite3.Error) or primary_code(error) not in _OF_DISKS:
            return
        if _is_read_only(self._path.parent):
            return
        log.error("the disk of the database fails", file=str(self._path), error=str(error))
        with self._lock:
            now = self._monotonic()
            self._met.append(now)
            if self.given_up or len(self._met) < STRIKES or now - self._met[0] > WITHIN_S:
                return
            self.given_up = True
        self._give_up(
            StoreUnwritable(
                f"the disk of the database {self._path} failed {STRIKES} times ({error})",
                fix="look at the disk; what was acknowledged is in the database or its backups",
            )
        )


def _is_read_only(directory: Path) -> bool:
    try:
        return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False
