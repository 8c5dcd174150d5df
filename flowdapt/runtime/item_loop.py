"""Decide how the items of one slice run: a tight loop within a time budget, each failure in its place."""

from __future__ import annotations

from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from flowdapt.domain.task import ItemFailure
from flowdapt.runtime.failures import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from flowdapt.domain.task import MapSlice
    from flowdapt.runtime.binding import Bound
    from flowdapt.runtime.context import RunContext
    from flowdapt.runtime.masking import Masker
    from flowdapt.runtime.sources import Items

__all__ = ["ItemLoop", "await_it", "is_async", "item_caller"]

# What the failures of one slice may weigh: the slice ends there and the next one goes on.
_FAILURES_MAX_BYTES = 1024 * 1024


def item_caller(function: Callable[..., Any], bound: Bound) -> Callable[[Any], Any]:
    """Return the leanest call: with a million items each layer is seen."""
    before, after, keywords = bound.before, bound.after, bound.keywords
    if not bound.takes_item:
        return lambda item: function(*before, *after, **keywords)
    if not (before or after or keywords):
        return function
    return lambda item: function(*before, item, *after, **keywords)


class ItemLoop:
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
                    result = await_it(result)
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


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether it was written with `async def`."""
    code = getattr(function, "__code__", None)
    return bool(code and code.co_flags & 0x80)


def await_it(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, in a loop of its own."""
    import asyncio

    return asyncio.run(coroutine)
