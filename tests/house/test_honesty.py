"""Nothing is called done that is not: no stubs, no silent skips, no mocks in the place of fakes."""

from __future__ import annotations

import ast
import re

from tests.house.source import ROOT, modules

TESTS = sorted((ROOT / "tests").rglob("*.py"))


def test_nothing_is_a_stub() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node)
    ]
    assert found == []


def test_nothing_is_left_to_do_in_a_comment() -> None:
    marks = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
    assert [m.name for m in modules() if marks.search(m.text)] == []


def test_every_ignored_rule_has_its_reason_beside_it() -> None:
    """`# noqa: X` and `# type: ignore[x]` say why on the same line or on the one above."""
    bare = re.compile(r"#\s*(noqa: [A-Z0-9, ]+|type: ignore\[[\w, -]+\])\s*$")
    found = []
    for module in modules():
        lines = module.text.splitlines()
        for number, line in enumerate(lines):
            above = lines[number - 1].strip() if number else ""
            if bare.search(line) and not above.startswith("#"):
                found.append(f"{module.name}:{number + 1}")
    assert found == []


def test_only_what_fails_on_ci_skips_a_test_elsewhere() -> None:
    skips = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)")
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and skips.fullmatch(ast.unparse(node))
    ]
    assert {place.partition(":")[0] for place in found} == {
        "tests/lacking.py",
        "tests/test_debian.py",
    }


def test_tests_use_fakes_and_no_mocks() -> None:
    mocking = re.compile(
        r"^\s*(from unittest import mock|import unittest\.mock|from unittest\.mock|from mock )"
    )
    found = [
        str(path.relative_to(ROOT))
        for path in TESTS
        if any(mocking.match(line) for line in path.read_text(encoding="utf-8").splitlines())
    ]
    assert found == []
