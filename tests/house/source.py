"""The project's own source, read once: what the tests of the house look at."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "flowdapt"
REFERENCE = ROOT / "docs" / "reference"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One module: its dotted name, its text and its tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def functions(self) -> Iterator[Function]:
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node


@functools.cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package, in order of path."""
    return tuple(_read(path) for path in sorted(PACKAGE.rglob("*.py")))


def find_module(name: str) -> Module | None:
    return next((module for module in modules() if module.name == name), None)


def _read(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path, text, ast.parse(text, filename=str(path)))


def reference(page: str) -> str:
    """Return the text of a page of docs/reference."""
    return (REFERENCE / f"{page}.md").read_text(encoding="utf-8")
