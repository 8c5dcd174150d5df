"""What a preflight says of code that travels, and of what lies beside it and stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flowdapt.domain.task import WorkerEnvironment
from flowdapt.plugins.bridge.travelling import code_rows
from flowdapt.runtime import bundle

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from flowdapt.domain.finding import Finding


def rows(folder: Path) -> list[Finding]:
    (folder / "user_modules").mkdir(exist_ok=True)
    (folder / "user_modules/demo.py").write_text("def answer():\n    return 1\n")
    (folder / "values").mkdir(exist_ok=True)
    (folder / "values/private.py").write_text("x = 1\n")
    where = WorkerEnvironment(
        values_root=str(folder / "values"), artifacts_url="", memory_root="",
        user_modules=str(folder / "user_modules"), python_path=(str(folder),),
    )  # fmt: skip
    return asyncio.run(code_rows(where))


def test_code_is_told_by_number_and_size(tmp_path: Path) -> None:
    (row,) = rows(tmp_path)
    assert row.level == "ok"
    assert row.words.startswith("1 file of code goes along with the tasks, ")


def test_data_that_stays_is_a_warning_that_names_it(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"table{number}.csv").write_bytes(b"1,2\n" * 300_000)
    _, row = rows(tmp_path)
    assert (row.level, row.code) == ("warning", "executor.data_stays")
    assert "path/0/table0.csv, path/0/table1.csv, path/0/table2.csv, …" in row.words
    assert "artifacts" in row.fix


def test_too_much_code_keeps_from_switching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_FILES", 0)
    (row,) = rows(tmp_path)
    assert (row.level, row.code) == ("failed", "executor.code_too_large")
    assert row.fix
