"""Stage functions for tests on clusters."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowdapt.runtime.memory import ClusterMemory


def note_and_wait(folder: str) -> str:
    """Leave a note with the pid of its host each time that this runs, then wait to be ended."""
    for number in range(100):
        note = Path(folder) / f"note-{number}"
        if not note.exists():
            note.write_text(str(os.getppid()), encoding="utf-8")
            break
    while not (Path(folder) / "gate").exists():
        time.sleep(0.01)
    return "done"


def sign(folder: str, word: str) -> None:
    """Add a word to the list of those that ran."""
    with (Path(folder) / "signed").open("a", encoding="utf-8") as signed:
        signed.write(f"{word}\n")


def remember(key: str, size: int) -> str:
    import numpy as np

    from flowdapt.runtime import objects

    objects.put(key, np.arange(size), strategy="cluster_memory")
    return key


def recall(key: str) -> list[object]:
    """Return the sum of what is there and the pid of the host."""
    from flowdapt.runtime import objects

    total = float(objects.get(key, strategy="cluster_memory").sum())
    return [total, os.getppid()]


def forget(key: str) -> bool:
    from flowdapt.runtime import objects

    objects.delete(key, strategy="cluster_memory")
    return objects.exists(key, strategy="cluster_memory")


def length_of(values: list[str]) -> int:
    return len(values[0])


def count_up(key: str, times: int, folder: str, writers: int = 1) -> int:
    """Add one to what lies under a key, so many times, each as a read and a write; return the own pid.

    A note is left when it begins; it waits until so many writers have left theirs.
    """
    memory = _memory()
    (Path(folder) / f"writer-{os.getpid()}").touch()
    while len(list(Path(folder).glob("writer-*"))) < writers:
        time.sleep(0.01)
    for _ in range(times):
        with memory.locked("default", key):
            found = memory.get("default", key) if memory.exists("default", key) else 0
            time.sleep(0.001)
            memory.put("default", key, found + 1)
    return os.getpid()


def counted(key: str) -> int:
    found: int = _memory().get("default", key)
    return found


def hold_until_killed(key: str, folder: str) -> None:
    """Take the lock of a key, write down the own pid and the host's, and never let go."""
    with _memory().locked("default", key):
        held = Path(folder) / "held"
        held.with_suffix(".new").write_text(f"{os.getpid()} {os.getppid()}", encoding="utf-8")
        held.with_suffix(".new").rename(held)
        time.sleep(600)


def _memory() -> ClusterMemory:
    from flowdapt.runtime.context import get_run_context
    from flowdapt.runtime.memory import memory_of

    return memory_of(get_run_context().environment)


def save() -> str:
    from flowdapt.runtime import artifacts

    artifacts.put("words", {"a": 1})
    return "saved"


def start_another(folder: str) -> None:
    """Start a process in a session of its own and wait for it."""
    import subprocess
    import sys

    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(command, start_new_session=True)
    (Path(folder) / "started").write_text(str(process.pid), encoding="utf-8")
    process.wait()
