"""The action that writes a line into the daemon's log."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.domain.actions import LogLine
from flowdapt.logs import set_up_logs
from flowdapt.plugins.actions.log import LogAction
from flowdapt.ports.action import Occasion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.trio

OCCASION = Occasion("nightly", "schedule", datetime(2026, 3, 1, tzinfo=UTC), fire=7, delivery="d1")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield root
    for handler in root.handlers:
        if handler not in before:
            handler.close()
    root.handlers[:] = before
    root.setLevel(level)


async def test_the_line_stands_in_the_log_with_its_rule(
    root: logging.Logger, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    file.touch()
    set_up_logs(file=file, format_="json")
    await LogAction().perform(LogLine(message="loss is %s {x}", level="warning"), OCCASION)
    line: dict[str, Any] = json.loads(file.read_text())
    assert (line["event"], line["level"], line["rule"], line["fire"], line["delivery"]) == (
        "loss is %s {x}", "warning", "nightly", 7, "d1",
    )  # fmt: skip


async def test_what_a_terminal_would_obey_is_escaped(root: logging.Logger, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch()
    set_up_logs(file=file, format_="console")
    await LogAction().perform(LogLine(message="\x1b]0;x\x07\nforged line"), OCCASION)
    (line,) = file.read_text().splitlines()
    assert "\\x1b]0;x\\x07\\x0aforged line" in line
