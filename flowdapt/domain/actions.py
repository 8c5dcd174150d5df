"""Decide what the built-in actions of a trigger rule may be told, and what is wrong with a rule's actions.

What plugins add is known by its model alone (`ActionModels`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flowdapt.domain.documents import Document
from flowdapt.domain.errors import Problem
from flowdapt.domain.names import Name
from flowdapt.domain.positions import Loc
from flowdapt.domain.quantities import DurationS

__all__ = [
    "BUILT_IN",
    "ActionModels",
    "LogLine",
    "PublishEvent",
    "RunWorkflow",
    "action_problems",
    "is_template",
]

ActionModels = Mapping[str, type[BaseModel]]
_LINE_CHARS = 4096


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunWorkflow(_Parameters):
    """Start a run. All but the workflow is as in a request for a run."""

    workflow: Name = Field(description="Which workflow to run.")
    input: dict[str, Any] = Field(default_factory=dict, description="The run's input.")
    namespace: Name = Field(default="default", description="The run's namespace.")
    executor: Name | None = Field(
        default=None, description="Where to run; default: the active one."
    )
    labels: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Labels of the run."
    )
    priority: int | None = Field(
        default=None, ge=-1_000_000, le=1_000_000, description="Higher is first."
    )
    timeout: DurationS | None = Field(default=None, description="The run's timeout.")


class PublishEvent(_Parameters):
    """Write an event of your own into the journal."""

    type: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
        description="The event's type, such as `my.model.ready`.",
    )
    subject: str = Field(default="", max_length=500, description="What the event is about.")
    data: Any = Field(default=None, description="JSON of at most 64 KiB.")


class LogLine(_Parameters):
    """Write a line into the daemon's log."""

    message: str = Field(min_length=1, max_length=_LINE_CHARS, description="The line.")
    level: str = Field(
        default="info", pattern="^(debug|info|warning|error)$", description="How urgent it is."
    )

    @field_validator("message", mode="before")
    @classmethod
    def _in_words(cls, value: object) -> object:
        """Write what an event holds as JSON: a number or a mapping is a line as well."""
        return value if isinstance(value, str) else json.dumps(value, default=str)[:_LINE_CHARS]


# The actions that are written with the fire itself.
BUILT_IN: ActionModels = {"run_workflow": RunWorkflow, "publish_event": PublishEvent}
_MAX_ACTIONS = 32


def is_template(value: object) -> bool:
    """Say whether a value or a part of it is taken from the event."""
    if isinstance(value, dict):
        return set(value) == {"var"} or any(is_template(part) for part in value.values())
    return isinstance(value, list) and any(is_template(part) for part in value)


def action_problems(
    document: Document, models: ActionModels, *, every: bool = True
) -> Iterator[Problem]:
    """Yield what is wrong with the actions of a rule's document; their shapes are checked elsewhere.

    `every`: there are no actions but those of `models`.
    """
    spec = document.value.get("spec")
    if not isinstance(spec, dict):
        return
    listed = spec.get("actions")
    if isinstance(listed, list):
        if len(listed) > _MAX_ACTIONS:
            message = f"a rule has at most {_MAX_ACTIONS} actions"
            yield document.problem("action.too_many", message, ("spec", "actions"))
        for at, action in enumerate(listed[:_MAX_ACTIONS]):
            yield from _of_action(document, action, ("spec", "actions", at), models, every)
    if "action" in spec:
        yield from _of_action(document, spec["action"], ("spec", "action"), models, every)


def _of_action(
    document: Document, action: object, loc: Loc, models: ActionModels, every: bool
) -> Iterator[Problem]:
    target = action.get("target") if isinstance(action, dict) else None
    if not isinstance(action, dict) or not isinstance(target, str):
        return
    if target not in models:
        if not every:
            return
        near = get_close_matches(target[:100], list(models), 1)
        yield document.problem(
            "action.unknown",
            f"there is no action {target[:100]!r}",
            (*loc, "target"),
            suggestion=near[0] if near else None,
            fix=f"actions are {', '.join(sorted(models))}",
        )
        return
    parameters = action.get("parameters", {})
    if isinstance(parameters, dict):
        yield from _of_parameters(document, parameters, (*loc, "parameters"), models[target])


def _of_parameters(
    document: Document, parameters: dict[Any, Any], loc: Loc, model: type[BaseModel]
) -> Iterator[Problem]:
    # What is taken from the event is known when the rule fires.
    later = {key for key, value in parameters.items() if is_template(value)}
    known = {key: value for key, value in parameters.items() if key not in later}
    try:
        model.model_validate(known)
    except ValidationError as error:
        for details in error.errors(include_input=False, include_url=False, include_context=False):
            place = tuple(details["loc"])
            if details["type"] != "missing" or not place or place[0] not in later:
                yield _problem(document, loc, model, place, details["type"], details["msg"])
    for key in sorted(later - set(model.model_fields), key=str):
        yield _problem(document, loc, model, (key,), "extra_forbidden")


def _problem(
    document: Document, loc: Loc, model: type[BaseModel], path: Loc, kind: str, message: str = ""
) -> Problem:
    name = ".".join(map(str, path))
    if kind == "extra_forbidden":
        near = get_close_matches(str(path[0])[:100], list(model.model_fields), 1)
        return document.problem(
            "action.unknown_parameter",
            f"the action has no parameter {name[:100]!r}",
            (*loc, *path),
            suggestion=near[0] if near else None,
            fix=f"parameters are {', '.join(model.model_fields)}",
        )
    if kind == "missing":
        return document.problem(
            "action.missing_parameter", f"the action needs the parameter {name!r}", loc,
            fix=f"add `{name}:`",
        )  # fmt: skip
    return document.problem(
        "action.bad_parameter", f"{name}: {message}", (*loc, *path), fix=_meant(model, path)
    )


def _meant(model: type[BaseModel], path: Loc) -> str:
    """Return what a parameter is for, which is the way out of a wrong one."""
    field = model.model_fields.get(str(path[0])) if path else None
    about = field.description if field is not None else None
    return f"`{path[0]}` is: {about}" if about else "write other parameters"
