"""The program run in this process, against a scripted daemon on the home's own socket."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.cli.main import main
from flowdapt.paths import find_paths
from tests.client.fake_daemon import FakeDaemon, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Program:
    """Runs `flowdapt` with words, as a shell would; never starts a daemon."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    def __call__(self, *words: str, stdin: str | bytes = b"", columns: int | None = None) -> Ended:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        self._capsys.readouterr()
        with self._patch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
            if columns:
                patch.setenv("COLUMNS", str(columns))
            try:
                code = main(words)
            except SystemExit as stop:
                code = int(stop.code or 0)
        written = self._capsys.readouterr()
        return Ended(code, written.out, written.err)


@pytest.fixture
def flowdapt(
    flowdapt_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Program:
    monkeypatch.setenv("FLOWDAPT_AUTOSTART", "0")
    monkeypatch.delenv("COLUMNS", raising=False)
    return Program(capsys, monkeypatch)


@pytest.fixture
def fake(flowdapt_home: Path) -> Iterator[FakeDaemon]:
    with listening(find_paths().socket) as daemon:
        yield daemon
