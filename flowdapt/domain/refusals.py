"""Decide how what the models refuse is told: code, place, the nearest word, a way out."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flowdapt.domain.documents import Document
from flowdapt.domain.errors import Problem
from flowdapt.domain.explain import models_at
from flowdapt.domain.names import INVALID_NAME
from flowdapt.domain.positions import Loc
from flowdapt.domain.resource import KINDS, kind_named
from flowdapt.domain.segment import NAME_FIX

__all__ = ["MAX_PROBLEMS", "parsed", "unknown_field"]

# Beyond this nobody reads on, and looking for suggestions costs time.
MAX_PROBLEMS = 100
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


def parsed(
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
        for details in (one for one in found[:MAX_PROBLEMS] if not _is_echo(one)):
            problem = _of_pydantic(document, model, at, details)
            if problem is not None and (problem.code, problem.loc) not in known:
                problems.append(problem)
    return None


def _is_echo(details: ErrorDetails) -> bool:
    """A list whose items are wrong is also told to be too short: that helps nobody."""
    value, least = details["input"], details.get("ctx", {}).get("min_length", 0)
    return details["type"] == "too_short" and isinstance(value, list) and len(value) >= least


def _of_pydantic(
    document: Document, model: type[BaseModel], at: Loc, details: ErrorDetails
) -> Problem | None:
    loc = _as_written(document.value, (*at, *details["loc"]))
    if details["type"] == "extra_forbidden":
        names = [n for m in models_at(model, details["loc"][:-1]) for n in m.model_fields]
        # Unknown options are told one by one, by the rules of workflows.
        return None if loc[-1] == "options" else unknown_field(document, loc, names)
    if details["type"] in ("missing", "union_tag_not_found"):
        name = "type" if details["type"] == "union_tag_not_found" else str(loc[-1])
        owner = loc if details["type"] == "union_tag_not_found" else loc[:-1]
        message = f"{_owner(document, owner)} has no `{name}`"
        return document.problem("document.missing_field", message, owner, fix=f"add `{name}:`")
    if details["type"] == "union_tag_invalid":
        return _bad_tag(document, (*loc, "type"), details)
    message = f"{_dotted(loc)}: {_plain_words(details['msg'])}"
    if details["type"] == INVALID_NAME:
        return document.problem("name.invalid", message, loc, fix=NAME_FIX)
    return document.problem(
        _code_of(loc), message, loc, suggestion=_nearest(details), fix=_what_it_takes(document, loc)
    )


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
        ("Tuple should", "it should"),
        ("List should", "it should"),
        (" after validation", ""),
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


def _what_it_takes(document: Document, loc: Loc) -> str:
    kind = kind_named(str(document.value.get("kind"))[:100]) or KINDS["workflows"]
    path = ".".join([kind, *(step for step in loc if isinstance(step, str) and step != "spec")])
    return f"flowdapt explain {path[:200]}  tells what it takes"


def _nearest(details: ErrorDetails) -> str | None:
    expected = details.get("ctx", {}).get("expected", "")
    if details["type"] not in ("enum", "literal_error") or not isinstance(details["input"], str):
        return None
    words = [
        word for word in str(expected).replace(" or ", ", ").replace("'", "").split(", ") if word
    ]
    near = get_close_matches(details["input"][:100], words, 1)
    return near[0] if near else None


def unknown_field(document: Document, loc: Loc, names: Sequence[str]) -> Problem:
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
    match loc:
        case (_, "stages", int(index), *below):
            stage = document.value["spec"]["stages"][index]
            name = stage.get("name") if isinstance(stage, dict) else None
            words = f'stage "{name}"' if isinstance(name, str) else f"stage {index + 1}"
            return f"`{_dotted(tuple(below))}` of {words}" if below else words
        case _:
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
