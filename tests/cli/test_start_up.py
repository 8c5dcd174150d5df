"""A command loads next to nothing: its time is what the person waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.client.fake_daemon import FakeDaemon, answer, run

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    "httpx",
    "pydantic",
    "trio",
    "rich",
    "ruamel",
    "asyncio",
    "http",
    "email",
    "msgspec",
    "platformdirs",
    "subprocess",
}
CODE = """
import contextlib, io, json, os, sys
from flowdapt.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    code = main(json.loads(os.environ["WORDS"]))
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def loaded_by(home: Path, *words: str) -> set[str]:
    environ = os.environ | {
        "FLOWDAPT_HOME": str(home),
        "FLOWDAPT_AUTOSTART": "0",
        "WORDS": json.dumps(words),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    code, names = json.loads(done.stdout)
    assert code == 0, done.stderr
    return set(names)


@pytest.mark.parametrize(
    "words", [("--help",), ("runs", "ls"), ("get", "runs"), ("status",), ("run", "train"), ("runs", "show", "r")], ids=" ".join
)  # fmt: skip
def test_a_question_loads_no_library(
    flowdapt_home: Path, fake: FakeDaemon, words: tuple[str, ...]
) -> None:
    fake.on("GET", "/runs", answer({"items": [run()], "next": None}))
    fake.on("GET", "/status", answer({"version": "1", "pid": 7}))
    fake.on("GET", "/runs/r", answer(run()))
    fake.on("POST", "/workflows/train/runs", answer(run()))
    assert loaded_by(flowdapt_home, *words) & HEAVY == set()


def test_the_overview_loads_not_even_a_parser(flowdapt_home: Path) -> None:
    assert not loaded_by(flowdapt_home, "--help") & {"argparse", "socket", "unicodedata"}
