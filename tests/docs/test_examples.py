"""What the documentation shows is run: Python, YAML and commands."""

from __future__ import annotations

import ast
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.documents import read
from flowdapt.domain.validation import check_all, invalid
from tests.docs.pages import ROOT, Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = blocks("python")
RUN = blocks("python", mark="test")


def _places(found: list[Block]) -> list[str]:
    return [block.place for block in found]


@pytest.mark.parametrize("block", PYTHON, ids=_places(PYTHON))
def test_python_can_be_parsed(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", RUN, ids=_places(RUN))
def test_python_that_is_marked_runs(block: Block, flowdapt_home: Path, tmp_path: Path) -> None:
    example = tmp_path / "example.py"
    example.write_text(block.text, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(example)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_some_examples_are_run() -> None:
    assert RUN


YAML = blocks("yaml")


@pytest.mark.parametrize("block", YAML, ids=_places(YAML))
def test_yaml_is_a_valid_document(block: Block) -> None:
    documents, problems = read(block.text, source=block.place)
    assert documents
    refused = invalid(check_all(documents), problems)
    assert refused is None, refused.problems


FILES = [page.relative_to(ROOT) for page in sorted((ROOT / "examples").rglob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_an_example_project_is_valid(path: Path) -> None:
    documents, problems = read((ROOT / path).read_text(encoding="utf-8"), source=str(path))
    assert documents
    assert invalid(check_all(documents), problems) is None
