"""Decide how one task runs: find the target, decode, bind, call, encode; what went wrong is a value.

The process around it (limits, output, signals, what is put back afterwards) is the worker's affair.
"""

from __future__ import annotations

import os
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.domain.errors import BadBinding, DamagedValue, UnreadableValue
from flowdapt.domain.task import (
    Cancelled,
    ErrorInfo,
    Failed,
    Finished,
    LogLine,
    Lost,
    MapSlice,
    MetricPoint,
    Progress,
    Started,
    ValueRef,
)
from flowdapt.runtime import values
from flowdapt.runtime.binding import (
    Bound,
    Parameters,
    bind_dependencies,
    bind_input,
    parameters_of,
    slips,
)
from flowdapt.runtime.context import RunContext, activate
from flowdapt.runtime.failures import clean, describe
from flowdapt.runtime.held import CopyGone
from flowdapt.runtime.item_loop import ItemLoop, await_it, is_async, item_caller
from flowdapt.runtime.masking import masker_of
from flowdapt.runtime.modules import ImportFailed
from flowdapt.runtime.sources import Items, Sources, as_items

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowdapt.domain.task import Outcome, TaskCall, TaskEvent, WorkerEnvironment
    from flowdapt.runtime.masking import Masker

    Emit = Callable[[TaskEvent], None]
    Find = Callable[[str], Callable[..., Any]]
    Keep = Callable[[Any, TaskCall, str, str], ValueRef]

__all__ = ["Invoker", "StopBody"]


class StopBody(BaseException):
    """Raised into a body that shall end; a BaseException, so that `except Exception` lets it pass."""


_SLIP = "the input has %r, which this stage does not take; did you mean %r? It has its default"


class Invoker:
    """Runs tasks in this process, one at a time per instance.

    `find` returns the callable that a target names; `enter` is told the context of each task
    right before its body begins, when its inputs are there; `keep` makes a reference of a result
    (value, call, values' root, name).
    """

    def __init__(
        self,
        environment: WorkerEnvironment,
        find: Find,
        enter: Callable[[RunContext], None] = lambda context: None,
        keep: Keep | None = None,
    ) -> None:
        self._environment = environment
        self._find = find
        self._enter = enter
        self._keep = keep or _to_file
        self._root = environment.values_root
        self._sources = Sources(self._root)
        self._parameters: tuple[Any, Parameters] | None = None
        self._pid = os.getpid()

    def run(self, call: TaskCall, emit: Emit) -> Outcome:
        """Run one task. Raises nothing but what ends the process."""
        started = perf_counter()
        masker = masker_of(call.secrets)
        try:
            return self._run(call, _masking(emit, masker) if masker else emit, masker)
        except StopBody:
            return Cancelled("stopped")
        except SystemExit as stop:
            return _exited(call, stop, self._pid)
        except CopyGone as gone:
            return _missing(call, gone, self._pid)
        except ImportFailed as failed:
            error, retryable = failed.__cause__ or failed, False
        except BaseException as raised:
            error, retryable = raised, True
        told = describe(error, stage=call.stage, retryable=retryable, mask=masker.text)
        return Failed(told, perf_counter() - started, self._pid)

    def _run(self, call: TaskCall, emit: Emit, masker: Masker) -> Outcome:
        function = self._find(call.target)
        with activate(call, self._environment, emit) as context:
            if call.map is None:
                self._sources.forget()
            else:
                return self._run_slice(call, call.map, function, context, emit, masker)
            bound = self._bind(call, function, context)
            self._enter(context)
            emit(Started(self._pid))
            begun = perf_counter()
            result = function(*bound.before, *bound.after, **bound.keywords)
            if type(result) is CoroutineType:
                result = await_it(result)
            took = perf_counter() - begun
        return Finished(self._encode(result, call, masker), took, worker_pid=self._pid)

    def _encode(self, result: Any, call: TaskCall, masker: Masker, suffix: str = "") -> ValueRef:
        name = f"{call.run.uid}/{call.stage}{suffix}.{call.attempt}.{call.epoch}"
        ref = self._keep(result, call, self._root, name)
        if masker and ref.preview:
            return msgspec.structs.replace(ref, preview=masker.text(ref.preview))
        return ref

    # -- binding -----------------------------------------------------------------------------------

    def _bind(self, call: TaskCall, function: Callable[..., Any], context: RunContext) -> Bound:
        parameters = self._parameters_of(function)
        if call.bind == "input":
            given = self._input(call)
            for key, name in slips(parameters, given):
                context.logger.warning(_SLIP, key, name)
            return bind_input(parameters, given, context)
        return bind_dependencies(parameters, self._decode_all(call), context)

    def _parameters_of(self, function: Callable[..., Any]) -> Parameters:
        if self._parameters is None or self._parameters[0] is not function:
            self._parameters = (function, parameters_of(function))
        return self._parameters[1]

    def _input(self, call: TaskCall) -> Any:
        return values.decode(call.run.input, self._root)

    def _decode_all(self, call: TaskCall, skip: int = -1) -> list[Any]:
        return [
            None if place == skip else self._decode_one(place, ref)
            for place, ref in enumerate(call.args)
        ]

    def _decode_one(self, place: int, ref: ValueRef) -> Any:
        try:
            return values.decode(ref, self._root)
        except (UnreadableValue, DamagedValue) as error:
            what = f"the result of dependency {place + 1}{_type_of(ref)}"
            raise type(error)(f"{what}: {error.message}") from error.__cause__

    # -- mapped stages -----------------------------------------------------------------------------

    def _run_slice(
        self,
        call: TaskCall,
        cut: MapSlice,
        function: Callable[..., Any],
        context: RunContext,
        emit: Emit,
        masker: Masker,
    ) -> Outcome:
        items, bound = self._bind_items(call, cut, function, context)
        stop = min(cut.stop, len(items))
        self._enter(context)
        emit(Started(self._pid))
        begun = perf_counter()
        loop = ItemLoop(call.stage, cut, context, masker)
        one = item_caller(function, bound)
        if is_async(function):
            await_it(loop.run_async(one, items, stop))
        else:
            loop.run(one, items, stop)
        took = perf_counter() - begun
        context.index = None
        reached = cut.start + len(loop.results)
        ref = self._encode(loop.results, call, masker, f".{cut.start}")
        return Finished(ref, took, reached, tuple(loop.failures), self._pid)

    def _bind_items(
        self, call: TaskCall, cut: MapSlice, function: Callable[..., Any], context: RunContext
    ) -> tuple[Items, Bound]:
        parameters = self._parameters_of(function)
        if cut.source < 0:
            given = self._input(call)
            items = _items_of_input(given, cut.input_key)
            if call.bind == "input":
                return items, bind_input(parameters, given, context, item_first=True)
            placed = [None, *self._decode_all(call)]
            return items, bind_dependencies(parameters, placed, context, item_at=0)
        items = self._sources.open(call.args[cut.source])
        placed = self._decode_all(call, skip=cut.source)
        return items, bind_dependencies(parameters, placed, context, item_at=cut.source)


def _to_file(result: Any, call: TaskCall, root: str, name: str) -> ValueRef:
    return values.encode(
        result, root, name, inline_max_bytes=call.inline_max_bytes, durable=call.durable
    )


def _type_of(ref: ValueRef) -> str:
    """Return the type that its preview tells, in parentheses."""
    try:
        return f" ({msgspec.json.decode(ref.preview)['type']})" if ref.preview else ""
    except (msgspec.MsgspecError, KeyError, TypeError):
        return ""


def _items_of_input(given: Any, key: str) -> Items:
    if not isinstance(given, dict) or key not in given:
        raise BadBinding(
            f"the stage maps over the input key {key!r}, and the run's input has no such key",
            fix=f"give it: --input {key}='[…]'",
        )
    return as_items(given[key])


def _masking(emit: Emit, masker: Masker) -> Emit:
    """Return an `emit` through which no secret leaves in what the stage says of itself."""

    def say(event: TaskEvent) -> None:
        if isinstance(event, LogLine):
            event = msgspec.structs.replace(event, text=masker.text(event.text))
        elif isinstance(event, Progress):
            event = msgspec.structs.replace(event, message=masker.text(event.message))
        elif isinstance(event, MetricPoint):
            event = msgspec.structs.replace(event, name=masker.text(event.name))
        emit(event)

    return say


def _exited(call: TaskCall, stop: SystemExit, pid: int) -> Lost:
    words = clean(
        f"the body ended its process by sys.exit({stop.code!r}) before it had a result", 500
    )
    error = ErrorInfo(
        "builtins.SystemExit", words, stage=call.stage, bases=("builtins.SystemExit",)
    )
    return Lost("exited", error, pid)


def _missing(call: TaskCall, gone: CopyGone, pid: int) -> Lost:
    kind = "flowdapt.ValueLost"
    error = ErrorInfo(kind, str(gone), stage=call.stage, bases=(kind,))
    return Lost("missing", error, pid, (gone.handle,))
