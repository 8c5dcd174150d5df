"""Decide who belongs to a worker and make an end of them: its tree, its session, its marked children.

Linux's /proc only; elsewhere the process group has to do. Standard library only: the guard, which
imports nothing else of flowdapt, runs it too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

__all__ = [
    "ASK_FIRST_S",
    "EXIT_S",
    "GONE",
    "MARK",
    "die_with",
    "end_tree",
    "find_tree",
    "has_children",
    "reap_children",
    "sweep",
]

# The environment variable whose value names the executor and the worker; children inherit it.
MARK = "FLOWDAPT_WORKER"
# The exit code of a worker whose daemon is gone.
GONE = 3
# Of whoever drives a worker. A body that looks at `cancelled` gets this long before the signal; most never look.
ASK_FIRST_S = 0.2
# From the last word of a process to its exit status.
EXIT_S = 1.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ROUNDS, _PAUSE_S = 40, 0.05


class Process(NamedTuple):
    """One row of /proc: a zombie is nobody any more."""

    pid: int
    parent: int
    session: int
    state: str


def die_with(parent: int) -> None:
    """Ask the kernel to end this process with its parent, and to hand us the orphans below."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(GONE)


def has_children() -> bool:
    """Say whether this process has any child, alive or dead; two microseconds."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def find_tree(root: int, *, with_root: bool = True) -> list[int]:
    """Return the living descendants of a process, parents first."""
    children: dict[int, list[int]] = {}
    alive: set[int] = set()
    for row in _rows():
        children.setdefault(row.parent, []).append(row.pid)
        if row.state not in "ZX":
            alive.add(row.pid)
    found, queue = [], [root]
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        queue.extend(children.get(pid, ()))
    return [pid for pid in found if pid in alive and (with_root or pid != root)]


def end_tree(root: int, *, with_root: bool = True, seconds: float = 2.0) -> int:
    """Kill the descendants of a process until none is left; return how many there were.

    The root is stopped first when it dies as well, so that it makes no new ones meanwhile.
    """
    if with_root:
        _send(root, signal.SIGSTOP)
    count, mine = 0, os.getpid()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        tree = find_tree(root, with_root=False)
        if not tree:
            break
        count += len(tree)
        for pid in tree:
            _send(pid, signal.SIGKILL)
        if root == mine:
            reap_children()
        time.sleep(0.002)
    if with_root:
        _send(root, signal.SIGKILL)
    return count


def sweep(
    *,
    mark: str = "",
    sessions: Collection[int] = (),
    spare: Callable[[str], bool] | None = None,
    settle_s: float = 0.0,
) -> int:
    """Kill what carries a mark beginning so, or lives in one of the sessions; return how many.

    `spare` is asked with the whole mark and may let a process live. A process has no mark to be
    seen at the instant of its exec: with `settle_s` a last look is taken so much later.
    """
    total = 0
    for _ in range(_ROUNDS):
        found = list(_members(mark, frozenset(sessions), spare))
        if not found and not settle_s:
            break
        total += len(found)
        for pid in found:
            _send(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S if found else settle_s)
        settle_s = settle_s if found else 0.0
    return total


def _members(
    mark: str, sessions: frozenset[int], spare: Callable[[str], bool] | None
) -> Iterator[int]:
    mine = os.getpid()
    for row in _rows():
        if row.pid == mine or row.state in "ZX":
            continue
        if row.session in sessions:
            yield row.pid
        elif mark:
            found = _mark_of(row.pid)
            if found.startswith(mark) and not (spare is not None and spare(found)):
                yield row.pid


def _mark_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            content = b"\0" + file.read()
    except OSError:
        return ""  # another user's, or gone
    _, found, rest = content.partition(f"\0{MARK}=".encode())
    return rest.partition(b"\0")[0].decode(errors="replace") if found else ""


def _rows() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (row := _row(int(name))):
            yield row


def _row(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name stands in parentheses and may hold any character.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Process(pid, int(fields[1]), int(fields[3]), fields[0].decode())


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def reap_children() -> None:
    """Take the dead children of this process; for a worker, whose children are all its own."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
