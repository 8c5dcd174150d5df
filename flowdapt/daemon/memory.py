"""Decide where cluster memory lies: in a tmpfs of our own where there is one, else beside the data.

Memory outlives a daemon that was killed, so that its runs go on; it ends with one that has nothing
left to do. What homes left that are gone is swept at the next start of any daemon of this user.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from flowdapt.domain.errors import FlowdaptError
from flowdapt.paths import Paths, ensure_private_directory

__all__ = ["forget_memory", "make_memory_directory", "sweep_memory"]

SHARED = Path("/dev/shm")  # noqa: S108 -- directories in it are made 0700 and checked
_OBJECTS = "objects"
# Says whose memory this is, for the sweep.
_HOME = "home"
_HOME_MAX_BYTES = 4096


def make_memory_directory(paths: Paths) -> Path:
    """Return the directory, made and checked."""
    if SHARED.is_dir() and os.access(SHARED, os.W_OK):
        with suppress(FlowdaptError):
            place = ensure_private_directory(_place(paths), strict=True)
            (place / _HOME).write_bytes(os.fsencode(paths.data))
            return ensure_private_directory(place / _OBJECTS, strict=True)
    return ensure_private_directory(paths.data / "memory")


def forget_memory(paths: Paths) -> None:
    """Delete what cluster memory holds."""
    shutil.rmtree(_place(paths), ignore_errors=True)
    shutil.rmtree(paths.data / "memory", ignore_errors=True)


def sweep_memory() -> int:
    """Delete the memory of data directories that are gone; return how many that were."""
    gone = [place for place in SHARED.glob(f"{_prefix()}*") if _is_orphan(place)]
    for place in gone:
        shutil.rmtree(place, ignore_errors=True)
    return len(gone)


def _prefix() -> str:
    return f"flowdapt-{os.geteuid()}-"


def _place(paths: Paths) -> Path:
    mark = hashlib.sha256(os.fsencode(paths.data)).hexdigest()[:12]
    return SHARED / f"{_prefix()}{mark}"


def _is_orphan(place: Path) -> bool:
    try:
        if place.is_symlink() or place.stat().st_uid != os.geteuid():
            return False
        with (place / _HOME).open("rb") as file:
            home = file.read(_HOME_MAX_BYTES)
    except OSError:
        return False
    return bool(home) and not Path(os.fsdecode(home)).exists()
