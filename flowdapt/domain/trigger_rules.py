"""Decide what a trigger rule may say beyond the shapes of its fields: times, conditions, actions.

Looks at documents as they are written, so that one wrong field hides no other problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flowdapt.domain.actions import BUILT_IN, ActionModels, action_problems
from flowdapt.domain.conditions import condition_problems, parse_condition
from flowdapt.domain.documents import Document
from flowdapt.domain.errors import FlowdaptError, InvalidInput, Problem
from flowdapt.domain.event_values import value_problems
from flowdapt.domain.interval import parse_interval
from flowdapt.domain.positions import Loc
from flowdapt.domain.schedule import parse_schedule

__all__ = ["broken_rules", "doubts"]

_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def broken_rules(document: Document, models: ActionModels | None) -> list[Problem]:
    """Return the problems of a rule's document. `models` None: actions of plugins are not known here."""
    spec = document.value.get("spec")
    if not isinstance(spec, Mapping):
        return []
    found = [*_of_timing(spec), *_of_values(spec)]
    problems = [_placed(document, problem) for problem in found]
    return [*problems, *action_problems(document, models or BUILT_IN, every=models is not None)]


def _placed(document: Document, problem: Problem) -> Problem:
    loc: Loc = ("spec", *problem.loc)
    line, column = document.mark(loc) or (None, None)
    return replace(problem, loc=loc, source=document.source, line=line, column=column)


def _of_timing(spec: Mapping[str, Any]) -> list[Problem]:
    if "rule" not in spec:
        return []
    if spec.get("type") == "condition":
        return list(condition_problems(spec["rule"], ("rule",)))
    try:
        if spec.get("type") == "schedule":
            parse_schedule(spec["rule"], spec.get("timezone", "UTC"))
        elif spec.get("type") == "interval":
            parse_interval(spec["rule"], anchor=_ANY_TIME)
    except InvalidInput as error:
        return list(error.problems)
    return []


def _of_values(spec: Mapping[str, Any]) -> Iterator[Problem]:
    listed = spec.get("actions")
    for at, action in enumerate(listed[:32] if isinstance(listed, list) else []):
        if isinstance(action, Mapping):
            yield from value_problems(action.get("parameters"), ("actions", at, "parameters"))
    if isinstance(spec.get("action"), Mapping):
        yield from value_problems(spec["action"].get("parameters"), ("action", "parameters"))


def doubts(document: Document) -> Iterator[str]:
    """Yield what is allowed in a sound rule and looks like a mistake."""
    spec = document.value["spec"]
    try:
        if spec["type"] == "condition":
            for doubt in parse_condition(spec["rule"]).doubts:
                yield doubt.message
        elif spec["type"] == "schedule":
            yield from parse_schedule(spec["rule"], spec.get("timezone", "UTC")).warnings()
        else:
            yield from parse_interval(spec["rule"], anchor=_ANY_TIME).warnings()
    except FlowdaptError:
        return
