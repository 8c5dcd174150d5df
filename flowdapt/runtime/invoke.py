"""Decide how one task runs: find the target, decode, bind, call, encode; what went wrong is a value.

The process around it (limits, output, signals, what is put back afterwards) is the worker's affair.
"""

from __future__ import annotations

import os
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.domain.errors import BadBinding
from flowdapt.domain.task import (
    Cancelled,
    ErrorInfo,
    Failed,
    Finished,
    ItemFailure,
    Lost,
    MapSlice,
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
)
from flowdapt.runtime.context import RunContext, activate
from flowdapt.runtime.failures import clean, describe
from flowdapt.runtime.masking import masker_of
from flowdapt.runtime.modules import ImportFailed
from flowdapt.runtime.sources import Items, Sources, as_items

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from flowdapt.domain.task import Outcome, TaskCall, TaskEvent, WorkerEnvironment
    from flowdapt.runtime.masking import Masker

    Emit = Callable[[TaskEvent], None]
    Find = Callable[[str], Callable[..., Any]]

__all__ = ["Invoker", "StopBody"]

# What the failures of one slice may weigh: the slice ends there and the next one goes on.
_FAILURES_MAX_BYTES = 1024 * 1024


class StopBody(BaseException):
    """Raised into a body that shall end; a BaseException, so that `except Exception` lets it pass."""


class Invoker:
    """Runs tasks in this process, one at a time per instance.

    `find` returns the callable that a target names; `enter` is told the context of each task
    right before its body begins, when its inputs are there.
    """

    def __init__(
        self,
        environment: WorkerEnvironment,
        find: Find,
        enter: Callable[[RunContext], None] = lambda context: None,
    ) -> None:
        self._environment = environment
        self._find = find
        self._enter = enter
        self._root = environment.values_root
        self._sources = Sources(self._root)
        self._parameters: tuple[Any, Parameters] | None = None
        self._pid = os.getpid()

    def run(self, call: TaskCall, emit: Emit) -> Outcome:
        """Run one task. Raises nothing but what ends the process."""
        started = perf_counter()
        masker = masker_of(call.secrets)
        try:
            return self._run(call, emit, masker)
        except StopBody:
            return Cancelled("stopped")
        except SystemExit as stop:
            return _exited(call, stop, self._pid)
        except ImportFailed as failed:
            error, retryable = failed.__cause__ or failed, False
        except BaseException as raised:
            error, retryable = raised, True
        told = describe(error, stage=call.stage, retryable=retryable, mask=masker.text)
        return Failed(told, perf_counter() - started, self._pid)

    def _run(self, call: TaskCall, emit: Emit, masker: Masker) -> Outcome:
        function = self._find(call.target)
        with activate(call, self._environment, emit) as context:
            if call.map is not None:
                return self._run_slice(call, call.map, function, context, emit, masker)
            bound = self._bind(call, function, context)
            self._enter(context)
            emit(Started(self._pid))
            begun = perf_counter()
            result = function(*bound.before, *bound.after, **bound.keywords)
            if type(result) is CoroutineType:
                result = _await(result)
            took = perf_counter() - begun
        return Finished(self._encode(result, call, masker), took, worker_pid=self._pid)

    def _encode(self, result: Any, call: TaskCall, masker: Masker, suffix: str = "") -> ValueRef:
        ref = values.encode(
            result,
            self._root,
            f"{call.run.uid}/{call.stage}{suffix}.{call.attempt}.{call.epoch}",
            inline_max_bytes=call.inline_max_bytes,
            durable=call.durable,
        )
        if masker and ref.preview:
            return msgspec.structs.replace(ref, preview=masker.text(ref.preview))
        return ref

    # -- binding -----------------------------------------------------------------------------------

    def _bind(self, call: TaskCall, function: Callable[..., Any], context: RunContext) -> Bound:
        parameters = self._parameters_of(function)
        if call.bind == "input":
            return bind_input(parameters, self._input(call), context)
        return bind_dependencies(parameters, self._decode_all(call), context)

    def _parameters_of(self, function: Callable[..., Any]) -> Parameters:
        if self._parameters is None or self._parameters[0] is not function:
            self._parameters = (function, parameters_of(function))
        return self._parameters[1]

    def _input(self, call: TaskCall) -> Any:
        return values.decode(call.run.input, self._root)

    def _decode_all(self, call: TaskCall, skip: int = -1) -> list[Any]:
        return [
            None if place == skip else values.decode(ref, self._root)
            for place, ref in enumerate(call.args)
        ]

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
        loop = _Loop(call.stage, cut, context, masker)
        one = _item_caller(function, bound)
        if _is_async(function):
            _await(loop.run_async(one, items, stop))
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


def _items_of_input(given: Any, key: str) -> Items:
    if not isinstance(given, dict) or key not in given:
        raise BadBinding(
            f"the stage maps over the input key {key!r}, and the run's input has no such key",
            fix=f"give it: --input {key}='[…]'",
        )
    return as_items(given[key])


def _item_caller(function: Callable[..., Any], bound: Bound) -> Callable[[Any], Any]:
    """Return the leanest call: with a million items each layer is seen."""
    before, after, keywords = bound.before, bound.after, bound.keywords
    if not bound.takes_item:
        return lambda item: function(*before, *after, **keywords)
    if not (before or after or keywords):
        return function
    return lambda item: function(*before, item, *after, **keywords)


class _Loop:
    """The items of one slice: results in order, None where an item failed."""

    def __init__(self, stage: str, cut: MapSlice, context: RunContext, masker: Masker) -> None:
        self._stage = stage
        self._cut = cut
        self._context = context
        self._masker = masker
        self._weight = 0
        self.results: list[Any] = []
        self.failures: list[ItemFailure] = []

    def run(self, one: Callable[[Any], Any], items: Items, stop: int) -> None:
        cut, enter, add, clock = (
            self._cut,
            self._context.enter_item,
            self.results.append,
            perf_counter,
        )
        deadline = clock() + cut.budget_s
        for index in range(cut.start, stop):
            enter(index)
            try:
                result = one(items[index])
                if type(result) is CoroutineType:
                    result = _await(result)
                add(result)
            except (Exception, KeyboardInterrupt) as error:
                if self._failed(index, error):
                    break
            if clock() >= deadline:
                break

    async def run_async(self, one: Callable[[Any], Any], items: Items, stop: int) -> None:
        deadline = perf_counter() + self._cut.budget_s
        for index in range(self._cut.start, stop):
            self._context.enter_item(index)
            try:
                self.results.append(await one(items[index]))
            except Exception as error:
                if self._failed(index, error):
                    break
            if perf_counter() >= deadline:
                break

    def _failed(self, index: int, error: BaseException) -> bool:
        """Note a failing item; say whether the slice ends with it."""
        told = describe(error, stage=self._stage, index=index, mask=self._masker.text)
        self.results.append(None)
        self.failures.append(ItemFailure(index, told))
        self._weight += len(told.message) + len(told.traceback)
        return self._cut.stop_on_failure or self._weight > _FAILURES_MAX_BYTES


def _is_async(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return bool(code and code.co_flags & 0x80)


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def _exited(call: TaskCall, stop: SystemExit, pid: int) -> Lost:
    words = clean(
        f"the body ended its process by sys.exit({stop.code!r}) before it had a result", 500
    )
    error = ErrorInfo(
        "builtins.SystemExit", words, stage=call.stage, bases=("builtins.SystemExit",)
    )
    return Lost("exited", error, pid)
