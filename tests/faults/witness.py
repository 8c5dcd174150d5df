"""A witness that depends on nothing of flowdapt: stages write one line when a body begins and ends.

`SOURCE` is the user module; `read` gives its lines back; `Checker` compares them with the API and rows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.workstation import stage, workflow

if TYPE_CHECKING:
    from typing import Any

    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

__all__ = ["SOURCE", "Line", "check", "diamonds", "read"]

SOURCE = """
import os
import time

from flowdapt import get_run_context

PATH = os.path.join(os.environ["FLOWDAPT_HOME"], "witness.txt")


def _say(word):
    context = get_run_context()
    line = f"{word} {context.run.uid} {context.stage} {context.attempt} {time.time():.6f} {os.getpid()}\\n"
    fd = os.open(PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def work(*values):
    _say("begin")
    time.sleep(0.01)
    _say("end")
    return sum(value for value in values if isinstance(value, int)) + 1


def slow(*values):
    _say("begin")
    time.sleep(0.5)
    _say("end")
    return 1


def numbers(n=40):
    return list(range(n))


def item(number):
    time.sleep(0.002)
    return number * 2
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the witness."""

    word: str
    run: str
    stage: str
    attempt: int
    time: float
    pid: int


def read(station: Workstation) -> list[Line]:
    """Return the lines in the order in which they were written; a torn last line is left out."""
    path = station.home / "witness.txt"
    lines = []
    for text in path.read_text().split("\n")[:-1] if path.exists() else ():
        word, run, name, attempt, when, pid = text.split()
        lines.append(Line(word, run, name, int(attempt), float(when), int(pid)))
    return lines


def diamonds(name: str, width: int, depth: int) -> dict[str, Any]:
    """Return a workflow of `depth` layers of `width` stages, each layer joined into one."""
    stages = [stage("join0", "user_modules.witness.work")]
    for layer in range(1, depth + 1):
        row = [f"s{layer}_{i}" for i in range(width)]
        stages += [stage(n, "user_modules.witness.work", f"join{layer - 1}") for n in row]
        stages.append(stage(f"join{layer}", "user_modules.witness.work", *row))
    return workflow(name, *stages)


def check(station: Workstation, runs: list[Run], *, rerun_slack_s: float = 0.0) -> None:
    """Hold what the API says of finished runs against what the stages themselves wrote."""
    began: dict[tuple[str, str], list[Line]] = defaultdict(list)
    ended: dict[tuple[str, str], int] = defaultdict(int)
    for line in read(station):
        if line.word == "begin":
            began[line.run, line.stage].append(line)
        else:
            ended[line.run, line.stage] += 1
    for run in runs:
        assert run.state == "finished", f"{run.name}: {run.state} {run.reason} {run.error}"
        for record in run.stages:
            if record.inherited:
                continue
            key = (run.uid, record.name)
            assert ended[key] >= 1, f"{run.name}/{record.name} finished without having run"
            assert record.finished_at is not None
            late = [
                line
                for line in began[key]
                if line.time > record.finished_at.timestamp() + rerun_slack_s
            ]
            assert not late, f"{run.name}/{record.name} ran again after it had finished: {late}"
