"""Decide how a daemon comes up in the background: one start at a time, ready when this returns.

Starts a process (`up --foreground`) and never imports the daemon. Concurrent starters line up at
a lock; who comes second finds the daemon of the first.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.client.endpoints import system
from flowdapt.client.unix import UnixTransport
from flowdapt.domain.errors import StartRefused, TimedOut, Unreachable
from flowdapt.paths import Paths, ensure_private_directory

if TYPE_CHECKING:
    import subprocess

__all__ = ["StartFailed", "answers", "autostart_allowed", "died", "ensure_daemon", "process_exists"]

START_S = 60.0
ALREADY_RUNNING = 73
_POLL_S = 0.01
_MOST_LINES = 30
_OFF = {"0", "no", "false", "off"}


class StartFailed(StartRefused):
    """The daemon ended before it was ready: the message holds its own words."""

    code = "start.failed"

    def __init__(self, exit_code: int, said: str) -> None:
        words = "\n".join(said.splitlines()[-_MOST_LINES:])
        super().__init__(
            f"the daemon did not start (exit code {exit_code})\n{words}".rstrip(),
            fix="flowdapt doctor",
        )
        self.exit_code = exit_code


def autostart_allowed() -> bool:
    return os.environ.get("FLOWDAPT_AUTOSTART", "1").lower() not in _OFF


def answers(paths: Paths) -> bool:
    """Say whether a daemon listens at the socket, ready or not."""
    try:
        UnixTransport(paths.socket, timeout_s=5.0).send(system.ready().request)
    except TimedOut:
        return True
    except Unreachable:
        return False
    return True


def died(paths: Paths) -> bool:
    """Say whether the last daemon was killed: one that ends lets go of its lock file's words."""
    from flowdapt.services.instance import read_holder

    pid = read_holder(paths.lock_file).get("pid")
    return isinstance(pid, int) and not process_exists(pid)


def process_exists(pid: int) -> bool:
    """Say whether a process lives; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 - a pseudo file
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:
        return True


def ready(paths: Paths) -> bool:
    try:
        return UnixTransport(paths.socket, timeout_s=5.0).send(system.ready().request).ok
    except (TimedOut, Unreachable):
        return False


def ensure_daemon(
    paths: Paths, *, arguments: tuple[str, ...] = (), timeout_s: float = START_S
) -> bool:
    """Return when a daemon is ready; say whether this call started it.

    Raise StartFailed with the daemon's own words, TimedOut when it takes too long.
    """
    deadline = time.monotonic() + timeout_s
    ensure_private_directory(paths.runtime, strict=True)
    with _one_at_a_time(paths.runtime / "start.lock", deadline):
        if answers(paths):
            _wait_until_ready(paths, None, None, deadline)
            return False
        words = _private_file(paths)
        return _wait_until_ready(paths, _spawn(words, arguments), words, deadline)


@contextmanager
def _one_at_a_time(lock: Path, deadline: float) -> Iterator[None]:
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while not _locked(handle):
            _pause_until(deadline, "another command is starting the daemon and does not end")
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pause_until(deadline: float, why: str) -> None:
    if time.monotonic() > deadline:
        raise TimedOut(why, fix="flowdapt doctor")
    time.sleep(_POLL_S)


def _private_file(paths: Paths) -> Path:
    """Return the file for what the daemon says before its own log is open."""
    ensure_private_directory(paths.logs)
    words = paths.logs / "start.log"
    words.unlink(missing_ok=True)
    os.close(os.open(words, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return words


def _spawn(words: Path, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    import subprocess

    # -P: a module in the current directory must not stand in for one of the daemon's.
    # Without options the daemon needs no command line to read: it is ready a little sooner.
    module = ["flowdapt", "up", "--foreground", *arguments] if arguments else ["flowdapt.daemon"]
    command = [sys.executable, "-P", "-m", *module]
    with words.open("ab") as said:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            cwd="/",
            env=os.environ | {"FLOWDAPT_BACKGROUND": "1"},
        )


def _wait_until_ready(
    paths: Paths, process: subprocess.Popen[bytes] | None, words: Path | None, deadline: float
) -> bool:
    """Return True when our process is the daemon that is ready, False when another is."""
    ours = process is not None
    while not ready(paths):
        code = process.poll() if ours and process is not None else None
        if code == ALREADY_RUNNING:
            ours = False
        elif code is not None:
            said = words.read_text("utf-8", "replace") if words is not None else ""
            raise StartFailed(code, said)
        _pause_until(deadline, "the daemon was not ready in time")
    if process is not None and process.returncode is None:
        # It outlives this command on purpose: nobody is to wait for it, or to warn that nobody did.
        process.returncode = 0
    return ours
