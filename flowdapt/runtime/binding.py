"""Decide which value goes to which parameter of a stage's function, and say what is missing by name.

Root stages take the run's input by parameter name, others take their dependencies in order, and the
item of a mapped stage takes the place of what is mapped over.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from flowdapt.domain.errors import BadBinding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Bound", "Parameters", "bind_dependencies", "bind_input", "parameters_of", "slips"]

_VARARGS, _VARKEYWORDS = 0x04, 0x08
# A keyword-only parameter of this name gets the run context.
_CONTEXT = "context"
_NEARLY = 0.8
_MOST_KEYS = 20


class Parameters(NamedTuple):
    """What a function takes. `defaults` holds the optional ones of both kinds."""

    positional: tuple[str, ...]
    positional_only: int
    keyword_only: tuple[str, ...]
    defaults: Mapping[str, Any]
    takes_more: bool
    takes_any_keyword: bool


class Bound(NamedTuple):
    """A call made ready: for a mapped stage the item goes between `before` and `after`."""

    before: tuple[Any, ...]
    after: tuple[Any, ...]
    keywords: Mapping[str, Any]
    takes_item: bool = True


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """Read a function's parameters; a wrapper that names what it wraps counts as that."""
    if type(function) is FunctionType and not (
        hasattr(function, "__wrapped__") or hasattr(function, "__signature__")
    ):
        return _from_code(function)
    return _from_signature(function)


def _from_code(function: FunctionType) -> Parameters:
    """Look at the code object: a hundredth of what `inspect.signature` costs."""
    code = function.__code__
    count = code.co_argcount
    positional = code.co_varnames[:count]
    given = function.__defaults__ or ()
    defaults = dict(zip(positional[count - len(given) :], given, strict=True))
    defaults.update(function.__kwdefaults__ or {})
    return Parameters(
        positional,
        code.co_posonlyargcount,
        code.co_varnames[count : count + code.co_kwonlyargcount],
        defaults,
        bool(code.co_flags & _VARARGS),
        bool(code.co_flags & _VARKEYWORDS),
    )


def _from_signature(function: Callable[..., Any]) -> Parameters:
    import inspect

    try:
        found = inspect.signature(function).parameters.values()
    except ValueError:  # some functions written in C tell nothing: trust the caller
        return Parameters((), 0, (), {}, takes_more=True, takes_any_keyword=False)
    kinds = inspect.Parameter
    only = [p.name for p in found if p.kind is kinds.POSITIONAL_ONLY]
    either = [p.name for p in found if p.kind is kinds.POSITIONAL_OR_KEYWORD]
    return Parameters(
        (*only, *either),
        len(only),
        tuple(p.name for p in found if p.kind is kinds.KEYWORD_ONLY),
        {p.name: p.default for p in found if p.default is not kinds.empty},
        any(p.kind is kinds.VAR_POSITIONAL for p in found),
        any(p.kind is kinds.VAR_KEYWORD for p in found),
    )


def bind_input(
    parameters: Parameters, given: Any, context: Any, *, item_first: bool = False
) -> Bound:
    """Bind the run's input by name; with `item_first` the first parameter is left to the item."""
    if not isinstance(given, dict):
        given = {}
    names = parameters.positional
    takes_item = item_first and bool(names or parameters.takes_more)
    skip = 1 if item_first and names else 0
    positional = [
        _take(name, given, parameters.defaults)
        for name in names[skip : max(skip, parameters.positional_only)]
    ]
    keywords = _context_keyword(parameters, given, context)
    for name in (*names[max(skip, parameters.positional_only) :], *parameters.keyword_only):
        if name not in keywords and (name in given or name not in parameters.defaults):
            keywords[name] = _take(name, given, {})
    if parameters.takes_any_keyword:
        taken = set(names)
        keywords.update({name: given[name] for name in given if name not in taken})
    if takes_item and not skip and keywords.keys() & set(names):
        raise BadBinding("the item has no place beside parameters bound by name")
    return Bound((), tuple(positional), keywords, takes_item)


def slips(parameters: Parameters, given: Any) -> list[tuple[str, str]]:
    """Return the keys of the input that nobody takes, each with the parameter it was likely meant for.

    A key alone says nothing: another stage may take it. Beside a parameter of nearly its name that
    falls back to its default it is a slip of the pen.
    """
    if not isinstance(given, dict) or parameters.takes_any_keyword:
        return []
    names = {*parameters.positional, *parameters.keyword_only}
    waiting = [name for name in parameters.defaults if name not in given]
    strange = [key for key in given if key not in names]
    if not waiting or not strange:
        return []
    from difflib import get_close_matches

    near = (
        (key, get_close_matches(key[:100], waiting, 1, _NEARLY)) for key in strange[:_MOST_KEYS]
    )
    return [(key, found[0]) for key, found in near if found]


def _take(name: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Any:
    if name in given:
        return given[name]
    if name in defaults:
        return defaults[name]
    raise BadBinding(
        f"the parameter {name!r} is required and the run's input has no such key",
        fix=f"give it: --input {name}=…",
    )


def _context_keyword(
    parameters: Parameters, given: Mapping[str, Any], context: Any
) -> dict[str, Any]:
    if _CONTEXT not in parameters.keyword_only:
        return {}
    if _CONTEXT in given:
        raise BadBinding(
            "the keyword parameter 'context' takes the run context, and the input has a key of that name",
            fix="rename one of them, or call get_run_context() in the stage",
        )
    return {_CONTEXT: context}


def bind_dependencies(
    parameters: Parameters, values: Sequence[Any], context: Any, *, item_at: int | None = None
) -> Bound:
    """Bind results in order; `item_at` is the position that the item takes (it has no value yet).

    `values` holds the item's place too, with anything in it.
    """
    keywords = _context_keyword(parameters, {}, context)
    if parameters.positional or parameters.takes_more:
        _check_count(parameters, len(values))
    else:
        values, item_at = (), None  # no parameters: the dependencies only order it
    for name in parameters.keyword_only:
        if name not in keywords and name not in parameters.defaults:
            raise BadBinding(
                f"the keyword parameter {name!r} has no default, and dependencies come in order",
                fix=f"make {name!r} an ordinary parameter or give it a default",
            )
    if item_at is None:
        return Bound(tuple(values), (), keywords, takes_item=False)
    return Bound(tuple(values[:item_at]), tuple(values[item_at + 1 :]), keywords)


def _check_count(parameters: Parameters, count: int) -> None:
    names = parameters.positional
    if count > len(names) and not parameters.takes_more:
        raise BadBinding(
            f"the function takes {len(names)} values and gets {count}",
            fix="add a parameter for each dependency, or remove a dependency",
        )
    for name in names[count:]:
        if name not in parameters.defaults:
            raise BadBinding(
                f"the parameter {name!r} is required and no dependency is left for it",
                fix="add a dependency, or give the parameter a default",
            )
