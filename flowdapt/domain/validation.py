"""Decide whether a document is a resource: everything wrong with it at once, each with its place.

Shapes come from the models (`refusals.py` words them), what needs more than one field from `workflow_rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

from flowdapt.domain.documents import Document
from flowdapt.domain.errors import InvalidDocument, Problem
from flowdapt.domain.explain import SPECS
from flowdapt.domain.refusals import MAX_PROBLEMS, parsed, unknown_field
from flowdapt.domain.resource import Kind, Metadata, Resource, kind_named
from flowdapt.domain.workflow_rules import broken_rules, doubts

if TYPE_CHECKING:
    from flowdapt.domain.actions import ActionModels

__all__ = ["MAX_PROBLEMS", "Checked", "check", "check_all", "invalid"]

_ENVELOPE = ("kind", "metadata", "spec")


@dataclass(frozen=True, slots=True)
class Checked:
    """A document and what was found: a resource, or problems."""

    document: Document
    resource: Resource | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


def check_all(
    documents: Sequence[Document],
    *,
    allowed_targets: Sequence[str] = (),
    actions: ActionModels | None = None,
) -> list[Checked]:
    """Check each document, and that no two are the same resource; stop where nobody reads on.

    `actions` are all that trigger rules may name; None: it is not known which there are.
    """
    first: dict[tuple[str, str], Document] = {}
    checked: list[Checked] = []
    wrong = 0
    for document in documents:
        one = check(document, allowed_targets=allowed_targets, actions=actions)
        if one.resource is not None:
            key = (one.resource.kind, one.resource.metadata.name)
            if first.setdefault(key, document) is not document:
                one = Checked(document, None, (_repeated(document, *key),))
        checked.append(one)
        wrong += len(one.problems)
        if wrong > MAX_PROBLEMS:
            break
    return checked


def invalid(checked: Sequence[Checked], problems: Sequence[Problem] = ()) -> InvalidDocument | None:
    """Return the error that carries everything wrong, or None."""
    found = [problem for one in checked for problem in one.problems]
    found += problems
    if not found:
        return None
    first, more = found[0], len(found) - 1
    return InvalidDocument(
        first.message if not more else f"{first.message} (and {more} more)",
        fix=first.fix,
        code=first.code,
        problems=found[:MAX_PROBLEMS],
    )


def check(
    document: Document,
    *,
    allowed_targets: Sequence[str] = (),
    actions: ActionModels | None = None,
) -> Checked:
    """Turn a document into a resource, or say everything that keeps it from being one."""
    value = document.value
    if not isinstance(value, dict):
        message = f"a document is a mapping, this is {_kind_of_value(value)}"
        fix = "give it `kind`, `metadata` and `spec`"
        problem = document.problem("document.not_a_mapping", message, fix=fix)
        return Checked(document, None, (problem,))
    problems = list(_envelope_problems(document))
    kind = _kind(value)
    metadata = parsed(document, Metadata, ("metadata",), problems)
    if kind is None or "spec" not in value:
        return _refused(document, problems)
    if kind == "workflow":
        problems += broken_rules(document, allowed_targets)
    if kind == "trigger_rule":
        # Schedules and conditions load only where rules are checked.
        from flowdapt.domain import trigger_rules

        problems += trigger_rules.broken_rules(document, actions)
    spec = parsed(document, SPECS[kind], ("spec",), problems)
    if problems or spec is None or not isinstance(metadata, Metadata):
        return _refused(document, problems)
    stored = spec.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    resource = Resource(kind=kind, metadata=metadata, spec=stored)
    return Checked(document, resource, warnings=tuple(_warnings(document, kind)))


def _refused(document: Document, problems: list[Problem]) -> Checked:
    ordered = sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))
    return Checked(document, None, tuple(ordered[:MAX_PROBLEMS]))


def _warnings(document: Document, kind: Kind) -> Iterator[str]:
    if kind == "workflow":
        yield from doubts(document)
    if kind == "trigger_rule":
        from flowdapt.domain import trigger_rules

        yield from trigger_rules.doubts(document)


def _kind(value: Mapping[str, Any]) -> Kind | None:
    word = value.get("kind")
    return kind_named(word) if isinstance(word, str) else None


def _envelope_problems(document: Document) -> Iterator[Problem]:
    value = document.value
    for key in islice((key for key in value if key not in _ENVELOPE), MAX_PROBLEMS):
        yield unknown_field(document, (key,), _ENVELOPE)
    for key in _ENVELOPE:
        if key not in value:
            yield document.problem(
                "document.missing_field", f"the document has no `{key}`", fix=f"add `{key}:`"
            )
    if "kind" in value and _kind(value) is None:
        yield _unknown_kind(document, value["kind"])


def _unknown_kind(document: Document, word: Any) -> Problem:
    near = get_close_matches(str(word)[:100].lower(), list(SPECS), 1)
    return document.problem(
        "document.unknown_kind",
        f"there is no kind {str(word)[:100]!r}",
        ("kind",),
        suggestion=near[0] if near else None,
        fix=f"kinds are {', '.join(SPECS)}",
    )


def _repeated(document: Document, kind: str, name: str) -> Problem:
    return document.problem(
        "document.repeated",
        f"{kind} {name!r} is in these documents twice",
        ("metadata", "name"),
        fix="remove one of the two",
    )


def _kind_of_value(value: Any) -> str:
    if isinstance(value, str):
        return "a text"
    return (
        "a list" if isinstance(value, list | tuple) else "nothing" if value is None else "a number"
    )
