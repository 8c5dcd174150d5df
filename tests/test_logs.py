"""The daemon's own log: JSON for machines, escaped words for people, secrets in neither."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import structlog

from flowdapt.logs import get_log, set_up_logs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in before[0]:
            handler.close()
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_lines_are_json_with_their_keys(flowdapt_home: Path) -> None:
    file = flowdapt_home / "d.log"
    set_up_logs(file=file)
    get_log("part").info("something happened", run="r1", stage="s", number=3)
    (line,) = [json.loads(text) for text in file.read_text().splitlines()]
    assert {k: line[k] for k in ("event", "level", "logger", "run", "stage", "number")} == {
        "event": "something happened", "level": "info", "logger": "part", "run": "r1",
        "stage": "s", "number": 3,
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_the_standard_library_speaks_the_same_way(flowdapt_home: Path) -> None:
    file = flowdapt_home / "d.log"
    set_up_logs(file=file)
    logging.getLogger("library").warning("took %d %s", 3, "s")
    assert json.loads(file.read_text())["event"] == "took 3 s"


def test_levels_below_the_set_one_are_dropped(flowdapt_home: Path) -> None:
    file = flowdapt_home / "d.log"
    set_up_logs(file=file, level="warning")
    get_log("part").info("quiet")
    get_log("part").warning("loud")
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["loud"]


def test_a_traceback_comes_along(flowdapt_home: Path) -> None:
    file = flowdapt_home / "d.log"
    set_up_logs(file=file)
    try:
        raise ValueError("no")
    except ValueError:
        get_log("part").exception("it failed")
    assert "ValueError: no" in json.loads(file.read_text())["traceback"]


def test_a_terminal_gets_nothing_that_it_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(format_="console")
    get_log("part").warning("evil \x1b]0;title\x07", name="\x1b[2J\u202e", more="a\nb")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said)
    assert r"\x1b[2J" in said


def test_secrets_are_masked(flowdapt_home: Path) -> None:
    file = flowdapt_home / "d.log"
    set_up_logs(file=file, mask=lambda text: text.replace("hunter2", "***"))
    get_log("part").info("the password is hunter2", url="postgres://u:hunter2@h")
    assert "hunter2" not in file.read_text()


def test_the_file_is_ours_alone(flowdapt_home: Path) -> None:
    file = flowdapt_home / "d.log"
    set_up_logs(file=file)
    assert file.stat().st_mode & 0o777 == 0o600
