"""Places where a test may make the process die, fail or hang: `FLOWDAPT_FAILPOINT=name:action[@n]`.

Nothing happens in a process where the variable is not set. Several are separated by commas; `@n` acts
on the n-th time the place is passed (the first by default), and only then; `@PLACE` on the first time
after that other place was passed. Actions: `kill`, `exit`, `enospc`, `eio`, `hang`, `sleep=SECONDS`. The
names are listed in docs/explanation/promises.md.
"""

from __future__ import annotations

import errno
import os
import signal
import time

__all__ = ["failpoint"]


class _Armed:
    """One place with what is to happen there."""

    def __init__(self, action: str, when: str) -> None:
        self.action = action
        self.after = "" if when.isdecimal() else when
        self.left = 1 if self.after else int(when)

    def act(self) -> None:
        if self.after:
            return
        self.left -= 1
        if self.left != 0:
            return
        kind, _, argument = self.action.partition("=")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "exit":
            os._exit(int(argument or 1))
        elif kind in ("enospc", "eio"):
            code = errno.ENOSPC if kind == "enospc" else errno.EIO
            raise OSError(code, os.strerror(code))
        elif kind in ("sleep", "hang"):
            time.sleep(float(argument or 3600))
        else:
            raise ValueError(f"unknown failpoint action {self.action!r}")


def _read(text: str) -> dict[str, _Armed]:
    armed = {}
    for entry in filter(None, text.split(",")):
        name, _, action = entry.partition(":")
        action, _, when = action.partition("@")
        armed[name] = _Armed(action, when or "1")
    return armed


_ARMED = _read(os.environ.get("FLOWDAPT_FAILPOINT", ""))


def failpoint(name: str) -> None:
    """Do what a test asked for at this place; in real life nothing."""
    if _ARMED:
        _pass(name)


def _pass(name: str) -> None:
    if name in _ARMED:
        _ARMED[name].act()
    for armed in _ARMED.values():
        if armed.after == name:
            armed.after = ""
