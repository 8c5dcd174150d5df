"""Decide whether a document is a resource: everything wrong with it at once, each with its place.

Shapes come from the models, what needs more than one field from `workflow_rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flowdapt.domain.documents import Document
from flowdapt.domain.errors import InvalidDocument, Problem
from flowdapt.domain.explain import SPECS, models_at
from flowdapt.domain.positions import Loc
from flowdapt.domain.resource import Kind, Metadata, Resource, kind_named
from flowdapt.domain.workflow_rules import broken_rules, doubts

__all__ = ["MAX_PROBLEMS", "Checked", "check", "check_all", "invalid"]

# Beyond this nobody reads on, and looking for suggestions costs time.
MAX_PROBLEMS = 100
_ENVELOPE = ("kind", "metadata", "spec")
# Words of other tools for what these fields mean.
_OTHER_WORDS = {
    "after": "depends_on",
    "needs": "depends_on",
    "requires": "depends_on",
    "upstream": "depends_on",
    "function": "target",
    "func": "target",
    "callable": "target",
    "retries": "retry",
    "timeout_s": "timeout",
    "labels": "annotations",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A document and what was found: a resource, or problems."""

    document: Document
    resource: Resource | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


def check_all(
    documents: Sequence[Document], *, allowed_targets: Sequence[str] = ()
) -> list[Checked]:
    """Check each document, and that no two are the same resource."""
    first: dict[tuple[str, str], Document] = {}
    checked: list[Checked] = []
    for document in documents:
        one = check(document, allowed_targets=allowed_targets)
        if one.resource is not None:
            key = (one.resource.kind, one.resource.metadata.name)
            if first.setdefault(key, document) is not document:
                one = Checked(document, None, (_repeated(document, *key),))
        checked.append(one)
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


def check(document: Document, *, allowed_targets: Sequence[str] = ()) -> Checked:
    """Turn a document into a resource, or say everything that keeps it from being one."""
    value = document.value
    if not isinstance(value, dict):
        message = f"a document is a mapping, this is {_kind_of_value(value)}"
        return Checked(document, None, (document.problem("document.not_a_mapping", message),))
    problems = list(_envelope_problems(document))
    kind = _kind(value)
    metadata = _parsed(document, Metadata, ("metadata",), problems)
    if kind is None or "spec" not in value:
        return _refused(document, problems)
    if kind == "workflow":
        problems += broken_rules(document, allowed_targets)
    spec = _parsed(document, SPECS[kind], ("spec",), problems)
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
        yield "the rule is stored; no trigger service runs yet, so it does not fire"


def _kind(value: Mapping[str, Any]) -> Kind | None:
    word = value.get("kind")
    return kind_named(word) if isinstance(word, str) else None


def _envelope_problems(document: Document) -> Iterator[Problem]:
    value = document.value
    for key in value:
        if key not in _ENVELOPE:
            yield _unknown_field(document, (key,), _ENVELOPE)
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


def _parsed(
    document: Document, model: type[BaseModel], at: Loc, problems: list[Problem]
) -> BaseModel | None:
    """Validate the part at `at`, adding what is wrong to `problems`."""
    if at[0] not in document.value:
        return None
    try:
        return model.model_validate(document.value[at[0]])
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
        known = {(problem.code, problem.loc) for problem in problems}
        for details in found[:MAX_PROBLEMS]:
            problem = _of_pydantic(document, model, at, details)
            if problem is not None and (problem.code, problem.loc) not in known:
                problems.append(problem)
    return None


def _of_pydantic(
    document: Document, model: type[BaseModel], at: Loc, details: ErrorDetails
) -> Problem | None:
    loc = _as_written(document.value, (*at, *details["loc"]))
    if details["type"] == "extra_forbidden":
        names = [n for m in models_at(model, details["loc"][:-1]) for n in m.model_fields]
        # Unknown options are told one by one, by the rules of workflows.
        return None if loc[-1] == "options" else _unknown_field(document, loc, names)
    if details["type"] in ("missing", "union_tag_not_found"):
        name = "type" if details["type"] == "union_tag_not_found" else str(loc[-1])
        owner = loc if details["type"] == "union_tag_not_found" else loc[:-1]
        message = f"{_owner(document, owner)} has no `{name}`"
        return document.problem("document.missing_field", message, owner, fix=f"add `{name}:`")
    if details["type"] == "union_tag_invalid":
        return _bad_tag(document, (*loc, "type"), details)
    message = f"{_dotted(loc)}: {_plain_words(details['msg'])}"
    return document.problem(_code_of(loc), message, loc, suggestion=_nearest(details))


def _bad_tag(document: Document, loc: Loc, details: ErrorDetails) -> Problem:
    context = details.get("ctx", {})
    tags, tag = (
        str(context.get("expected_tags", "")).replace("'", ""),
        str(context.get("tag", ""))[:100],
    )
    near = get_close_matches(tag, tags.split(", "), 1)
    message = f"{_dotted(loc)}: there is no type {tag!r}"
    return document.problem(
        _code_of(loc), message, loc, suggestion=near[0] if near else None, fix=f"types are {tags}"
    )


def _plain_words(message: str) -> str:
    """Say a library's message in the words of documents."""
    message = message.removeprefix("Value error, ")
    for theirs, ours in (
        ("Input should", "it should"),
        ("valid dictionary", "mapping"),
        ("valid tuple", "list"),
    ):
        message = message.replace(theirs, ours)
    return message[:500]


def _code_of(loc: Loc) -> str:
    """Give the fields that people ask about a code of their own."""
    if loc[-1] == "target" and "stages" in loc:
        return "workflow.bad_target"
    if loc[-1] == "name":
        return "name.invalid"
    return "config.bad_selector" if "selector" in loc else "document.bad_value"


def _nearest(details: ErrorDetails) -> str | None:
    expected = details.get("ctx", {}).get("expected", "")
    if details["type"] not in ("enum", "literal_error") or not isinstance(details["input"], str):
        return None
    words = [
        word for word in str(expected).replace(" or ", ", ").replace("'", "").split(", ") if word
    ]
    near = get_close_matches(details["input"][:100], words, 1)
    return near[0] if near else None


def _unknown_field(document: Document, loc: Loc, names: Sequence[str]) -> Problem:
    name = str(loc[-1])[:100]
    other = _OTHER_WORDS.get(name, name)
    near = [other] if other in names else get_close_matches(name, names, 1)
    return document.problem(
        "document.unknown_field",
        f"{_owner(document, loc[:-1])} has no field `{name}`",
        loc,
        key=True,
        suggestion=near[0] if near else None,
        fix=_way_out(near, names),
    )


def _way_out(near: Sequence[str], names: Sequence[str]) -> str:
    if near:
        return f"write `{near[0]}`"
    return f"fields there: {', '.join(sorted(names))}" if names else "remove it"


def _owner(document: Document, loc: Loc) -> str:
    """Name the thing that a field belongs to, as a person would."""
    if not loc:
        return "the document"
    if len(loc) >= 3 and loc[1] == "stages" and isinstance(loc[2], int):  # noqa: PLR2004
        stage = document.value["spec"]["stages"][loc[2]]
        name = stage.get("name") if isinstance(stage, dict) else None
        words = f'stage "{name}"' if isinstance(name, str) else f"stage {loc[2] + 1}"
        return words if len(loc) == 3 else f"`{_dotted(loc[3:])}` of {words}"  # noqa: PLR2004
    return f"`{_dotted(loc)}`"


def _dotted(loc: Loc) -> str:
    return ".".join(str(step) for step in loc)


def _as_written(value: Any, loc: Loc) -> Loc:
    """Drop the steps that only the models know (a union's tag), and find options where they stand."""
    written: list[str | int] = []
    for at, step in enumerate(loc):
        options = value.get("options") if isinstance(value, dict) else None
        if isinstance(options, dict) and step in options and step not in value:
            written.append("options")
            value = options
        if _has(value, step):
            value = value[step]
            written.append(step)
        elif at == len(loc) - 1:
            written.append(step)
    return tuple(written)


def _has(value: Any, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


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
