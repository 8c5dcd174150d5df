"""What is not documented does not exist: errors, settings, hooks, commands and routes."""

from __future__ import annotations

import ast
import re
from collections import Counter

from flowdapt.domain import errors
from tests.house.source import Module, find_module, modules, reference


def error_classes() -> list[type[errors.FlowdaptError]]:
    found = [errors.FlowdaptError]
    for parent in found:
        found.extend(parent.__subclasses__())
    return [error for error in found if error.__module__ == errors.__name__]


def exact_codes() -> set[str]:
    """Return every `code="family.exact"` that the package gives to an error or a problem."""
    return {
        keyword.value.value
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code"
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, str)
    }


def test_every_error_has_a_code_of_its_own() -> None:
    counted = Counter(error.code for error in error_classes())
    assert [code for code, times in counted.items() if times > 1] == []


def test_every_error_is_drawn_in_the_tree() -> None:
    tree = errors.__doc__ or ""
    assert [e.__name__ for e in error_classes() if not re.search(rf"\b{e.__name__}\b", tree)] == []


def test_every_error_is_public() -> None:
    assert {error.__name__ for error in error_classes()} <= set(errors.__all__)


def test_every_error_code_is_documented() -> None:
    page = reference("errors")
    codes = {error.code for error in error_classes()} | exact_codes()
    assert sorted(code for code in codes if f"`{code}`" not in page) == []


def test_no_documented_error_code_is_gone() -> None:
    documented = set(re.findall(r"^\| `([a-z_.]+)` \|", reference("errors"), re.MULTILINE))
    source = "\n".join(module.text for module in modules())
    assert sorted(code for code in documented if f'"{code}"' not in source) == []


def test_every_hook_is_documented() -> None:
    hooks = _hooks()
    page = reference("plugins")
    assert hooks
    assert sorted(hook for hook in hooks if f"`{hook}`" not in page) == []


def test_every_hook_says_what_it_is_for() -> None:
    module = _required("flowdapt.plugins.hookspecs")
    silent = [f.name for f in module.functions() if f.name in _hooks() and not ast.get_docstring(f)]
    assert silent == []


def _hooks() -> set[str]:
    module = _required("flowdapt.plugins.hookspecs")
    return {
        function.name
        for function in module.functions()
        if any("hookspec" in ast.unparse(mark) for mark in function.decorator_list)
    }


def _required(name: str) -> Module:
    module = find_module(name)
    assert module is not None, f"{name} does not exist"
    return module
