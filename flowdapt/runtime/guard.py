"""Decide what happens to the children of workers when the daemon is killed: they end as well.

Run as a script beside the workers of one executor. Workers die with the daemon by PDEATHSIG; what
they started does not. The daemon writes each worker's pid here; the end of the pipe is its death.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path


def main() -> None:
    """Read pids until the pipe ends, then kill what is left of those workers."""
    number, mark = int(sys.argv[1]), sys.argv[2]
    text = b""
    while chunk := os.read(number, 4096):
        text += chunk
        # "-" ends the watch of a worker that was ended in an orderly way.
    sessions = {int(word) for word in text.split()}
    _descendants().sweep(mark=mark, sessions=sessions)


def _descendants():  # type: ignore[no-untyped-def]  # noqa: ANN202  (a module)
    """Load the neighbour by its path: no package, no site-packages, a third of the memory."""
    path = Path(__file__).with_name("descendants.py")
    spec = importlib.util.spec_from_file_location("descendants", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
