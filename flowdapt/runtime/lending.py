"""Decide whether memory passes between processes of one machine by name, in the place of its bytes.

Only between processes of one user, who are told so by whoever saw all their machines. What is offered stays for a while, until
the other one has opened it; whoever takes it then has it for as long as it likes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flowdapt.runtime.areas import Area

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_on", "lend", "machine", "machine_with", "pass_by_name", "whole"]

# The other side opens it as soon as the message is read: milliseconds, unless its loop stands still.
OFFERED_S = 10.0
# Beyond this much at once the bytes themselves are sent.
OFFERED_MAX_BYTES = 2 * 1024**3

_on = False
_lock = threading.Lock()
_offered: deque[tuple[float, Area]] = deque()
_bytes = 0
_here = threading.local()


def machine() -> str:
    """Return what those processes have in common that may open each other's memory; empty: none may."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            kernel = file.read().strip()
        return f"{kernel}/{os.stat('/proc/self/ns/pid').st_ino}/{os.getuid()}"
    except OSError:  # not Linux
        return ""


def machine_with(path: str, inode: int) -> str:
    """Return `machine()` where this process can open that memory of another one, else nothing."""
    try:
        Area.taken(path, inode).close()
    except OSError:
        return ""
    return machine()


def pass_by_name(on: bool = True) -> None:
    """Pass large values by name from now on, or no more: all who get them run here, as this user."""
    global _on  # noqa: PLW0603  (one process, one cluster)
    _on = on


def is_on() -> bool:
    """Say whether values may be passed by name, by this thread, now."""
    return _on and not getattr(_here, "whole", False)


@contextmanager
def whole() -> Iterator[None]:
    """Write values with all their bytes in this block: what is written outlives this process's memory."""
    _here.whole = True
    try:
        yield
    finally:
        _here.whole = False


def lend(area: Area) -> bool:
    """Keep an area for whoever is told its name now; False: too much is offered already."""
    global _bytes  # noqa: PLW0603  (the process's memory)
    with _lock:
        _take_back(time.monotonic())
        if _bytes + area.size > OFFERED_MAX_BYTES:
            return False
        if not _offered:
            _start_timer()
        _offered.append((time.monotonic() + OFFERED_S, area))
        _bytes += area.size
        return True


def _take_back(now: float) -> None:
    global _bytes  # noqa: PLW0603  (as above)
    while _offered and _offered[0][0] <= now:
        _bytes -= _offered.popleft()[1].size


def _start_timer() -> None:
    timer = threading.Timer(OFFERED_S, _look)
    timer.daemon = True
    timer.start()


def _look() -> None:
    with _lock:
        _take_back(time.monotonic())
        if _offered:
            _start_timer()
