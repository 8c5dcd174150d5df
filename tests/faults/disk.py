"""A disk that a test makes ill under a running daemon, by a library that is preloaded into it (`disk.c`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lacking import lacking

__all__ = ["Disk", "build_disk"]


def build_disk(directory: Path) -> Path:
    """Compile the library; skip the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise lacking("the ill disk is C, and there is no compiler here")
    library = directory / "disk.so"
    source = Path(__file__).with_name("disk.c")
    # The C library says of some paths that they are never NULL; a caller of it may think otherwise.
    flags = ["-Wall", "-Wno-nonnull-compare", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", library, source], check=True)
    return library


class Disk:
    """The disk below one directory; healthy at first."""

    def __init__(self, library: Path, under: Path, orders: Path) -> None:
        self._orders = orders
        self.environment = {
            "LD_PRELOAD": str(library),
            "DISK_UNDER": str(under),
            "DISK_ORDERS": str(orders),
        }

    def become_read_only(self) -> None:
        """Refuse every write, as after an error that made the kernel protect the file system."""
        self._order("rofs")

    def fail(self, kinds: str, first: int, count: int) -> None:
        """Fail so many reads (r), writes (w) or flushes (s) of the database from the first-th one on."""
        self._order(f"eio {kinds} {first} {count}")

    def heal(self) -> None:
        self._orders.unlink()

    def _order(self, text: str) -> None:
        written = self._orders.with_suffix(".new")
        written.write_text(text)
        written.rename(self._orders)
