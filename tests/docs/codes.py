"""Every stable code that the source gives to an error or an explanation, with the words beside it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from flowdapt.domain import errors
from tests.house.source import modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def error_classes() -> list[type[errors.FlowdaptError]]:
    """Return the classes of the one tree."""
    named = (getattr(errors, name) for name in errors.__all__)
    return [
        value
        for value in named
        if isinstance(value, type) and issubclass(value, errors.FlowdaptError)
    ]


_CODE = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")
# What explains a state, or is found by a check, is no error, and is listed apart.
KINDS = {
    "Reason": "explanation", "Finding": "finding", "_failed": "finding", "_warning": "finding",
    "_smoke_failed": "finding",
}  # fmt: skip
# Where the words beside a code differ from use to use.
MEANINGS = {
    "executor.check_failed": "its own check failed or took too long",
    "executor.smoke_failed": "a small task failed there, did not end, or came back with a wrong answer",
    "executor.unavailable": "it cannot be opened or does not answer; why the message says",
    "executor.code_too_large": "the code that travels to workers is too large, or too many files",
    "executor.flowdapt_skew": "flowdapt has another version on workers than here, or is not there",
    "executor.insecure": "the address is another machine's, without TLS or without a proof of who connects",
    "executor.in_use": "it is the active one, or open runs are pinned to it",
    "executor.library_skew": "a library has another version on workers than here, or is not there",
    "executor.platform_skew": "workers have another system or processor than here",
    "executor.plugin_skew": "a plugin has another version on workers than here, or is not there",
    "executor.python_skew": "workers run another Python than here",
    "name.invalid": "the name is outside the allowed alphabet or length",
    "resource.stale": "somebody changed the resource since it was read",
    "run.bad_input": "a value of the input does not fit the `input_schema`",
    "run.cancelled": "it was cancelled, by whom the message says",
    "run.held": "no run is begun now, why the message says",
    "stage.starting": "it is about to begin, or its run has not begun",
    "settings.syntax": "the file of settings is not TOML",
    "settings.unreadable": "the file of settings cannot be read",
    "workflow.bad_target": "a target is `package.module.function` or `package.module:function`",
}
# What stands before the dot where a code is not named `code=`: file names look like codes too.
FAMILIES = {error.code.partition(".")[0] for error in error_classes()} | {
    "config", "cursor", "document", "field", "http", "plugin", "request", "secret", "settings",
    "stage", "trigger", "workflow",
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Code:
    """One use of a code: the words with … for what differs, and the way out if there is one."""

    code: str
    message: str
    fix: str
    kind: str = "error"


def exact_codes() -> list[Code]:
    """Return one Code for each code, the wordiest of its uses."""
    best: dict[str, Code] = {}
    for found in sorted(_uses(), key=lambda use: (len(use.message), use.message, use.fix)):
        best[found.code] = replace(found, message=MEANINGS.get(found.code) or found.message)
    return sorted(best.values())


def _uses() -> Iterator[Code]:
    for module in modules():
        if ".testing" in module.name:  # fakes refuse in fewer words
            continue
        for scope in _scopes(module.tree):
            texts = _texts(scope)
            for node in ast.walk(scope):
                if isinstance(node, ast.Return) and (code := _code_in(node.value)):
                    yield Code(code, "", "")
                if isinstance(node, ast.Call) and (code := _code_of(node)):
                    # The nearest assignment above the call is the one that it uses.
                    known = {name: words for line, name, words in texts if line < node.lineno}
                    kind = KINDS.get(_callee(node), "error")
                    fix = _named(node, "fix", known)
                    yield Code(code, _message(node, code, known), fix, kind)


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the module and each function: where a name's words are to be looked for."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _texts(scope: ast.AST) -> list[tuple[int, str, str]]:
    """Return line, name and words of a function's own texts: `text = f"…"`."""
    if isinstance(scope, ast.Module):
        return []
    return sorted(
        (node.lineno, ast.unparse(node.targets[0]), _words(node.value))
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign)
    )


def _code_of(call: ast.Call) -> str | None:
    """Return the code among the arguments: named `code`, or the first of them (of a finding, the second)."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    finds = KINDS.get(_callee(call)) == "finding"
    first = [] if _callee(call) == "ForeignKey" else call.args[: 2 if finds else 1]
    codes = [_code_in(value, any_family=True) for value in named]
    return next((code for code in (*codes, *map(_code_in, first)) if code), None)


def _code_in(value: ast.expr | None, *, any_family: bool = False) -> str | None:
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return None
    text = value.value
    known = any_family or text.partition(".")[0] in FAMILIES
    return text if known and _CODE.fullmatch(text) else None


def _callee(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _message(call: ast.Call, code: str, known: Mapping[str, str]) -> str:
    named = _named(call, "message", known) or _named(call, "words", known)
    if named:
        return named
    texts = [_words(value, known) for value in call.args]
    texts = texts[texts.index(code) + 1 :] if code in texts else texts
    return next((text for text in texts if text and text != code), "")


def _named(call: ast.Call, name: str, known: Mapping[str, str]) -> str:
    return next((_words(k.value, known) for k in call.keywords if k.arg == name), "")


def _words(node: ast.expr, known: Mapping[str, str] = MappingProxyType({})) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return re.sub("…[…]+", "…", "".join(_words(part) or "…" for part in node.values))
    if isinstance(node, ast.IfExp):
        return _words(node.orelse, known) or _words(node.body, known)
    if isinstance(node, ast.Subscript):  # cut to a length
        return _words(node.value, known)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _words(node.left, known) + _words(node.right, known)
    return known.get(node.id, "") if isinstance(node, ast.Name) else ""


def ways_out() -> list[tuple[str, str]]:
    """Return place and words of every `fix=` in the source, … for what differs."""
    return [
        (f"{module.name}:{keyword.value.lineno}", words)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "fix" and (words := _words(keyword.value))
    ]
