"""Decide how values of an event get into the parameters of an action: `{var: data.result.loss}`.

Only a mapping with the one key `var` is replaced; texts are never looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flowdapt.domain.errors import InvalidInput, Problem
from flowdapt.domain.event_path import MISSING, BadPath, parse_path
from flowdapt.domain.positions import Loc

__all__ = ["MAX_REFERENCES", "ValueMissing", "fill", "value_problems"]

# Each may stand for a whole event: what is made of them has to stay a small document.
MAX_REFERENCES = 64
_WORD = "var"
# A path, and what stands in for it where the event has nothing.
_WITH_DEFAULT = 2


class ValueMissing(InvalidInput):
    """The event has nothing at `path`, and `{var: …}` at `loc` of the parameters has no default."""

    def __init__(self, path: str, loc: Loc = ()) -> None:
        super().__init__(
            f"the event has no {path}",
            fix=f"give a default: {{var: [{path}, null]}}",
            code="trigger.value_missing",
        )
        self.path = path
        self.loc = loc


def fill(parameters: Any, event: Mapping[str, Any], at: Loc = ()) -> Any:
    """Return the parameters with every `{var: path}` replaced by what the event has there.

    `{var: [path, default]}` falls back on the default, which may be another `{var: …}`. Raise
    ValueMissing without one; what `value_problems` refuses raises InvalidInput. Values are not
    copied: do not change them.
    """
    if isinstance(parameters, dict):
        if _is_reference(parameters):
            return _read(parameters[_WORD], event, at)
        return {key: fill(value, event, (*at, key)) for key, value in parameters.items()}
    if isinstance(parameters, list | tuple):
        return [fill(value, event, (*at, index)) for index, value in enumerate(parameters)]
    return parameters


def value_problems(parameters: object, at: Loc = ()) -> list[Problem]:
    """Return what is wrong with the `{var: …}` in an action's parameters, each with its place."""
    found = list(_references(parameters, at))
    problems = [problem for value, loc in found if (problem := _problem(value, loc))]
    if len(found) > MAX_REFERENCES:
        message = f"an action reads at most {MAX_REFERENCES} values of the event, not {len(found)}"
        fix = "read what encloses them: {var: data}"
        problems.append(Problem("trigger.too_many_values", message, at, fix=fix))
    return problems


def _is_reference(value: Mapping[Any, Any]) -> bool:
    return len(value) == 1 and _WORD in value


def _read(value: Any, event: Mapping[str, Any], loc: Loc) -> Any:
    problem = _problem(value, loc)
    if problem is not None:
        raise InvalidInput(problem.message, fix=problem.fix, code=problem.code, problems=[problem])
    path, *default = value if isinstance(value, list | tuple) else [value]
    found = parse_path(path).find(event)
    if found is not MISSING:
        return found
    if not default:
        raise ValueMissing(path, loc)
    return fill(default[0], event, (*loc, _WORD, 1))


def _references(value: object, loc: Loc) -> Iterator[tuple[Any, Loc]]:
    if isinstance(value, dict):
        if _is_reference(value):
            yield value[_WORD], loc
        for key, below in value.items():
            yield from _references(below, (*loc, key))
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _references(below, (*loc, index))


def _problem(value: Any, loc: Loc) -> Problem | None:
    operands = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(operands) <= _WITH_DEFAULT:
        message = (
            f"`{{var: …}}` takes a path, or a path and a default, this has {len(operands)} parts"
        )
        fix = "{var: [data.result.loss, null]}"
        return Problem("trigger.value", message, (*loc, _WORD), fix=fix)
    try:
        parse_path(operands[0])
    except BadPath as error:
        return Problem("trigger.value", error.message, (*loc, _WORD), fix=error.fix)
    return None
