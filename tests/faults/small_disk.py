"""A small disk of its own for one directory, where this user may mount one (root, or under `unshare -rm`)."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lacking import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["small_disk"]


@contextmanager
def small_disk(place: Path, mib: int) -> Iterator[Path]:
    """Mount a file system of that size on a private directory; skip the test where that is not allowed."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = f"size={mib}m,mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        raise lacking("this user may not mount a small file system; run under `unshare -rm`")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
