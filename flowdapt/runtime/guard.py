"""Decide what happens to the children of workers when the daemon is killed: they end as well.

Run as a script beside the workers of one executor. Workers die with the daemon by PDEATHSIG; what
they started does not. The daemon writes `+pid` and `-pid` as workers come and go, and a dot before
it goes in order; the end of the pipe alone is its death.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # As a script, so that nothing else of the package is loaded: a third of the memory.
    sys.path.insert(0, os.path.dirname(__file__))
    from descendants import sweep  # type: ignore[import-not-found]  # by path
else:
    from flowdapt.runtime.descendants import sweep

__all__ = ["main"]


def main(descriptor: int, mark: str) -> None:
    """Read until the pipe ends, then kill what is left of the workers that did not go in order."""
    text = b""
    while chunk := os.read(descriptor, 4096):
        text += chunk
    if text.endswith(b"."):
        return  # an orderly end: a new worker may carry the mark by now
    sweep(mark=mark, sessions=_open_sessions(text.split()), settle_s=0.1)


def _open_sessions(words: list[bytes]) -> set[int]:
    """Return the pids that came and did not go: another process may have the number of those."""
    found: set[int] = set()
    for word in words:
        pid = int(word[1:])
        if word[:1] == b"+":
            found.add(pid)
        else:
            found.discard(pid)
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
