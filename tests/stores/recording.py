"""Build the recorder of writes (`power.c`) that tests preload into a writing process."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lacking import lacking


def build_recorder(directory: Path) -> Path:
    """Compile the recorder; skip the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise lacking("the recorder of writes is C, and there is no compiler here")
    library = directory / "power.so"
    source = Path(__file__).with_name("power.c")
    subprocess.run([compiler, "-Wall", "-shared", "-fPIC", "-o", library, source], check=True)
    return library
