"""Who may import whom: the contracts of pyproject.toml, run as tests."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

from tests.house.source import PACKAGE, ROOT, Module, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where bytes that somebody pickled may become objects: in a worker, never in the daemon.
UNPICKLERS = ("flowdapt.runtime",)
# Where code outside the package is imported by name, and why.
IMPORTERS = {
    "flowdapt": "lazy attributes (PEP 562)",
    "flowdapt.testing": "lazy attributes (PEP 562)",
    "flowdapt.runtime": "targets and user modules, in the worker",
    "flowdapt.plugins.manager": "built-in plugins and what plugins declare by string",
    "flowdapt.plugins.bridge.process": "the engine that an executor's class names",
    "flowdapt.cli.main": "command groups, when they are used",
    "flowdapt.tui": "screens, when they are opened",
}


def test_every_import_contract_is_kept() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_contract_is_named_by_a_sentence() -> None:
    for contract in _contracts():
        assert contract["name"][0].isupper(), contract
        assert len(contract["name"].split()) > 3, contract


def test_every_storey_of_the_layers_stands() -> None:
    """A layer in parentheses may be missing: once it is there, a rename must not go unseen."""
    layers = next(c for c in _contracts() if c["type"] == "layers")["layers"]
    names = [name.strip() for layer in layers for name in layer.replace(":", "|").split("|")]
    optional = [name for name in names if name.startswith("(")]
    missing = [name for name in names if not _exists(name.strip("()"))]
    assert optional == []
    assert missing == []


def test_pickles_are_loaded_in_workers_only() -> None:
    found = [
        f"{module.path}:{line}"
        for module in modules()
        if not _within(module, UNPICKLERS)
        for line in _unpickling(module.tree)
    ]
    assert found == []


def test_code_is_imported_by_name_in_known_places_only() -> None:
    """The daemon never imports a user's target, not even to check it."""
    found = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        if not _within(module, tuple(IMPORTERS))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"importlib.import_module", "import_module", "__import__"}
    ]
    assert found == []


def test_the_check_for_pickles_finds_them() -> None:
    for text in (
        "import pickle\npickle.loads(b)",
        "from pickle import loads",
        "import cloudpickle as c\nc.loads(b)",
        "import pickle\npickle.Unpickler(f)",
    ):
        assert list(_unpickling(ast.parse(text))), text
    assert not list(_unpickling(ast.parse("import pickle, json\npickle.dumps(1)\njson.loads(b)")))


def _contracts() -> list[dict[str, str]]:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[dict[str, str]] = configuration["tool"]["importlinter"]["contracts"]
    return contracts


def _exists(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def _within(module: Module, places: tuple[str, ...]) -> bool:
    """The bare package name stands for its __init__ alone."""
    return any(
        module.name == place or (place != "flowdapt" and module.name.startswith(f"{place}."))
        for place in places
    )


def _unpickling(tree: ast.Module) -> Iterator[int]:
    picklers = {"pickle", "cloudpickle", "_pickle", "dill"}
    loaders = {"load", "loads", "Unpickler"}
    aliases = set(picklers)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {a.asname for a in node.names if a.name in picklers and a.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in picklers:
            yield from (node.lineno for alias in node.names if alias.name in loaders)
        elif isinstance(node, ast.Attribute) and node.attr in loaders and _named(node, aliases):
            yield node.lineno


def _named(node: ast.Attribute, aliases: set[str]) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in aliases
