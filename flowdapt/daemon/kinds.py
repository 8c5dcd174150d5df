"""Make executors out of profiles: the plugin's class, its options checked, secrets filled in.

Nothing of a cluster is imported: a kind's class stands before a process of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.errors import InvalidInput, Problem
from flowdapt.ports.kinds import Kinds, Prepared

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.plugins.manager import Plugins
    from flowdapt.ports.executor import Executor

__all__ = ["InstalledKinds"]

_START_S = 180.0
_CONNECT_S = 10.0
# An executor that keeps its own limits tells better what was wrong; its process starts first.
_GRACE_S = 5.0
_PROBLEMS_MAX = 20


class InstalledKinds(Kinds):
    """The kinds that plugins provide."""

    def __init__(
        self,
        plugins: Plugins,
        environment: WorkerEnvironment,
        expand: Callable[[str], str],
    ) -> None:
        self._plugins = plugins
        self._environment = environment
        self._expand = expand

    def names(self) -> Collection[str]:
        return self._plugins.executor_kinds()

    async def validate(self, kind: str, options: Mapping[str, Any]) -> None:
        await trio.to_thread.run_sync(self._read, kind, options, abandon_on_cancel=True)

    async def prepare(self, kind: str, options: Mapping[str, Any]) -> Prepared:
        return await trio.to_thread.run_sync(self._prepare, kind, options, abandon_on_cancel=True)

    def _prepare(self, kind: str, options: Mapping[str, Any]) -> Prepared:
        make, read = self._read(kind, _expanded(options, self._expand))
        return Prepared(partial(make, read, self._environment), _patience_s(read) + _GRACE_S)

    def _read(
        self, kind: str, options: Mapping[str, Any]
    ) -> tuple[Callable[..., Executor], BaseModel]:
        from pydantic import ValidationError

        found = self._plugins.executor(kind)
        if found.options is None:
            raise InvalidInput(
                f"executors of kind {kind!r} have no profiles",
                code="executor.no_profiles",
                fix="flowdapt executor ls",
            )
        try:
            return found, found.options.model_validate(dict(options))
        except ValidationError as error:
            raise _refused(kind, found.options, error) from None


def _patience_s(options: BaseModel) -> float:
    """Return how long it may take to reach the cluster, or to start it when it has no address."""
    if getattr(options, "address", None):
        return float(getattr(options, "connect_timeout", _CONNECT_S))
    return float(getattr(options, "start_timeout", _START_S))


def _expanded(value: Any, expand: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return expand(value.replace("${secret:", "{secret:"))
    if isinstance(value, Mapping):
        return {name: _expanded(inner, expand) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_expanded(inner, expand) for inner in value]
    return value


def _refused(kind: str, model: type[BaseModel], error: ValidationError) -> InvalidInput:
    problems = [
        _problem(kind, model, details["loc"], details["type"], details["msg"])
        for details in error.errors(include_url=False, include_input=False, include_context=False)
    ][:_PROBLEMS_MAX]
    return InvalidInput(
        problems[0].message,
        code="executor.invalid_options",
        fix=problems[0].fix or f"options of {kind} are {', '.join(model.model_fields)}",
        problems=problems,
    )


def _problem(
    kind: str, model: type[BaseModel], loc: tuple[int | str, ...], type_: str, said: str
) -> Problem:
    where = ".".join(map(str, loc))
    if type_ != "extra_forbidden":
        message = said.removeprefix("Value error, ")
        text = f"option {where} of {kind}: {message}" if where else f"{kind}: {message}"
        return Problem("executor.invalid_options", text[:500], ("options", *loc))
    near = difflib.get_close_matches(where, list(model.model_fields), n=1)
    return Problem(
        "executor.unknown_option",
        f"{kind} has no option {where!r}"[:500],
        ("options", *loc),
        near[0] if near else None,
        f"did you mean {near[0]}?" if near else None,
    )
