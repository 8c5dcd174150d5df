"""Stage functions for tests on Ray clusters."""

from __future__ import annotations

import os
import time
from pathlib import Path


def note_and_wait(folder: str) -> str:
    """Leave a note with the pid of the Ray worker each time that this runs, then wait to be ended."""
    for number in range(100):
        note = Path(folder) / f"note-{number}"
        if not note.exists():
            note.write_text(str(os.getppid()), encoding="utf-8")
            break
    while not (Path(folder) / "gate").exists():
        time.sleep(0.01)
    return "done"


def remember(key: str, size: int) -> str:
    import numpy as np

    from flowdapt.runtime import objects

    objects.put(key, np.arange(size), strategy="cluster_memory")
    return key


def recall(key: str) -> float:
    from flowdapt.runtime import objects

    return float(objects.get(key, strategy="cluster_memory").sum())


def forget(key: str) -> bool:
    from flowdapt.runtime import objects

    objects.delete(key, strategy="cluster_memory")
    return objects.exists(key, strategy="cluster_memory")


def save() -> str:
    from flowdapt.runtime import artifacts

    artifacts.put("words", {"a": 1})
    return "saved"
