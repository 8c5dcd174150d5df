"""Rooms that one can see through: sizes, names and opening words of modules."""

from __future__ import annotations

import ast
import math
import re
import statistics
from typing import TYPE_CHECKING

from tests.house.source import PACKAGE, modules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.house.source import Function, Module

FORBIDDEN = {
    "utils",
    "util",
    "misc",
    "helpers",
    "helper",
    "common",
    "manager",
    "handler",
    "core",
    "lib",
}
NAMED_SO_BY_OTHERS = {
    "flowdapt.plugins.manager": "pluggy calls it the plugin manager",
}


def test_no_module_is_longer_than_500_lines() -> None:
    assert {m.name: m.lines for m in modules() if m.lines > 500} == {}


def test_nearly_all_modules_fit_in_300_lines() -> None:
    sizes = {m.name: m.lines for m in modules() if m.lines}
    assert _p95(sizes.values()) <= 300, _largest(sizes)


def test_half_of_the_functions_fit_in_8_lines() -> None:
    sizes = _function_sizes()
    assert statistics.median(sizes.values()) <= 8, _largest(sizes)


def test_nearly_all_functions_fit_in_35_lines() -> None:
    sizes = _function_sizes()
    assert _p95(sizes.values()) <= 35, _largest(sizes)


def test_every_module_opens_with_what_it_decides() -> None:
    silent = [module.name for module in modules() if not ast.get_docstring(module.tree)]
    assert silent == []


def test_opening_words_are_five_lines_at_most() -> None:
    """A port's contract and the tree of errors may follow, as paragraphs of their own."""
    long = [module.name for module in modules() if _opening(module).count("\n") > 4]
    assert long == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    names = {m.name: m.path for m in modules() if m.name not in NAMED_SO_BY_OTHERS}
    vague = [name for name in names if FORBIDDEN & set(name.rpartition(".")[2].split("_"))]
    assert vague == []
    assert [d for d in PACKAGE.rglob("*") if d.is_dir() and d.name in FORBIDDEN] == []


def test_no_class_has_a_name_that_says_nothing() -> None:
    vague = [
        f"{module.name}.{node.name}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        and re.search(r"(Manager|Helper|Utils?|Misc|Handler)$", node.name)
        # A logging handler is a logging handler.
        and "Handler" not in {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    ]
    assert vague == []


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()


def _opening(module: Module) -> str:
    return (ast.get_docstring(module.tree) or "").split("\n\n")[0]


def _function_sizes() -> dict[str, int]:
    return {
        f"{module.name}.{function.name}:{function.lineno}": _size(function)
        for module in modules()
        for function in module.functions()
    }


def _size(function: Function) -> int:
    """Count the lines from `def` to the end, less the docstring: words are not weight."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def _p95(values: Iterable[int]) -> int:
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * 0.95) - 1]


def _largest(sizes: dict[str, int]) -> str:
    ranked = sorted(sizes.items(), key=lambda item: -item[1])[:15]
    return "the largest:\n" + "\n".join(f"{size:5} {name}" for name, size in ranked)
