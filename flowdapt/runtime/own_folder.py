"""Give a process a temporary folder of its own, and clear away those of processes that were killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["OwnFolder"]

_LOCK = "lock"


class OwnFolder:
    """A private folder that is locked while its process lives; making one removes abandoned ones.

    It is made in `place`, by default where temporary files go.
    """

    def __init__(self, prefix: str, place: str = "") -> None:
        place = place or tempfile.gettempdir()
        _sweep(Path(place), prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        # It is seen by others under its name only once it is locked.
        fresh = self.path / f"{_LOCK}.new"
        self._lock = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self.path / _LOCK)

    def remove(self) -> None:
        """Remove it with all that it holds. Never raises."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _sweep(place: Path, prefix: str) -> None:
    for path in place.glob(f"{prefix}*"):
        with suppress(OSError):
            if path.lstat().st_uid != os.getuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
