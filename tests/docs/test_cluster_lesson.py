"""The lesson on the switch is done as it is written, with a real daemon and a real cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "tutorial" / "laptop-to-cluster.md"
# From here on a cluster is needed that a test does not have.
LAST = "## A cluster of your own"
FILES = {"python": "home/user_modules/primes.py", "yaml": "primes.yaml"}


def lesson(language: str) -> list[str]:
    end = PAGE.read_text(encoding="utf-8")[:].split(LAST)[0].count("\n")
    return [one.text for one in blocks(language) if one.page == PAGE and one.line <= end]


def shown() -> list[str]:
    """Return the lines of output that the page promises."""
    lines = [line for text in lesson("console") for line in text.splitlines()]
    return [line for line in lines if not line.startswith("$ ")]


def script() -> str:
    """Return the commands in their order; the files are written where the first folder is there."""
    first, *others = lesson("console")
    written = [
        f"cat > {path} <<'END_OF_FILE'\n{lesson(language)[0]}END_OF_FILE"
        for language, path in FILES.items()
    ]
    return "\n".join(
        ["set -e", *_commands(first), *written, *(c for t in others for c in _commands(t))]
    )


def _commands(text: str) -> list[str]:
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def test_the_page_promises_results() -> None:
    assert [line for line in shown() if line.startswith("✔ now:")]
    assert len([line for line in shown() if line.startswith("result:")]) == 3


@pytest.mark.slow
def test_the_lesson_does_what_it_says() -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for name in ("FLOWDAPT_HOME", "FLOWDAPT_AUTOSTART"):
        environment.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        try:
            done = subprocess.run(
                ["bash", "-c", script()], cwd=folder, env=environment,
                capture_output=True, text=True, timeout=240, check=False,
            )  # fmt: skip
        finally:
            home = {"FLOWDAPT_HOME": f"{folder}/switch/home", "FLOWDAPT_AUTOSTART": "0"}
            subprocess.run(
                [sys.executable, "-m", "flowdapt", "down", "--now"],
                env=environment | home, capture_output=True, timeout=60, check=False,
            )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = iter(done.stdout.splitlines())
    missing = [line for line in shown() if line not in said]  # in this order
    assert missing == [], done.stdout + done.stderr
    assert "on dask" in done.stdout
    assert "counted by process" in done.stdout
    assert "executor.switched" in done.stdout
