"""Which value goes to which parameter, and what is said when one is missing."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from flowdapt.domain.errors import BadBinding
from flowdapt.runtime.binding import Bound, bind_dependencies, bind_input, parameters_of, slips

CONTEXT = object()


def call(function: Any, bound: Bound, *item: Any) -> Any:
    items = item if bound.takes_item else ()
    return function(*bound.before, *items, *bound.after, **bound.keywords)


def by_input(function: Any, given: Any, *item: Any) -> Any:
    bound = bind_input(parameters_of(function), given, CONTEXT, item_first=bool(item))
    return call(function, bound, *item)


def in_order(function: Any, *values: Any) -> Any:
    bound = bind_dependencies(parameters_of(function), values, CONTEXT)
    return call(function, bound)


def with_item(function: Any, values: list[Any], at: int, item: Any) -> Any:
    bound = bind_dependencies(parameters_of(function), values, CONTEXT, item_at=at)
    return call(function, bound, item)


# --- by name --------------------------------------------------------------------------------------


def test_parameters_take_keys_of_their_name() -> None:
    assert by_input(lambda a, b: (a, b), {"b": 2, "a": 1, "c": 3}) == (1, 2)


def test_defaults_hold_where_a_key_is_missing() -> None:
    assert by_input(lambda a, b=5, *, c=7: (a, b, c), {"a": 1}) == (1, 5, 7)
    assert by_input(lambda a, b=5, *, c=7: (a, b, c), {"a": 1, "c": 3}) == (1, 5, 3)


def test_positional_only_parameters_take_keys_too() -> None:
    def f(a: int, b: int = 2, c: int = 3, /, d: int = 4) -> Any:
        return a, b, c, d

    assert by_input(f, {"a": 1, "c": 30, "d": 40}) == (1, 2, 30, 40)


def test_keywords_take_the_rest_and_varargs_nothing() -> None:
    assert by_input(lambda a, *args, **more: (a, args, more), {"a": 1, "b": 2}) == (
        1,
        (),
        {"b": 2},
    )


@pytest.mark.parametrize("given", [{}, None, [1], {"b": 1}])
def test_a_missing_key_is_named(given: Any) -> None:
    with pytest.raises(BadBinding, match="'a'"):
        by_input(lambda a: a, given)


def test_a_keyword_only_parameter_without_its_key_is_named() -> None:
    def f(*, a: int) -> int:
        return a

    with pytest.raises(BadBinding, match="'a'"):
        by_input(f, {})


def test_a_keyword_named_context_gets_the_context() -> None:
    def f(x: int, *, context: Any) -> Any:
        return x, context

    assert by_input(f, {"x": 1}) == (1, CONTEXT)
    assert in_order(f, 1) == (1, CONTEXT)


def test_context_is_refused_only_where_it_clashes() -> None:
    def f(x: int, *, context: Any) -> Any:
        return x, context

    with pytest.raises(BadBinding, match="context"):
        by_input(f, {"x": 1, "context": 2})
    assert by_input(lambda context: context, {"context": 2}) == 2
    assert by_input(lambda **more: more, {"context": 2}) == {"context": 2}


# --- in order -------------------------------------------------------------------------------------


def test_dependencies_come_in_order() -> None:
    assert in_order(lambda a, b: (a, b), 1, 2) == (1, 2)
    assert in_order(lambda *anything: anything, 1, 2, 3) == (1, 2, 3)
    assert in_order(lambda a, b=5: (a, b), 1) == (1, 5)


@pytest.mark.parametrize(
    "function", [lambda: "ran", lambda **more: "ran", lambda *, b=1: "ran"], ids=["()", "**", "*"]
)
def test_a_function_without_parameters_is_only_ordered(function: Any) -> None:
    assert in_order(function, 1, 2) == "ran"


def test_too_many_and_too_few_are_told() -> None:
    with pytest.raises(BadBinding, match="takes 1 values and gets 2"):
        in_order(lambda a: a, 1, 2)
    with pytest.raises(BadBinding, match="'b'"):
        in_order(lambda a, b: a, 1)


def test_a_keyword_without_default_is_refused() -> None:
    def f(a: int, *, b: int) -> int:
        return a + b

    with pytest.raises(BadBinding, match="'b'"):
        in_order(f, 1)


# --- items ----------------------------------------------------------------------------------------


def test_the_item_takes_the_place_of_what_is_mapped() -> None:
    assert with_item(lambda a, b, c: (a, b, c), [None, 2, 3], 0, "i") == ("i", 2, 3)
    assert with_item(lambda a, b, c: (a, b, c), [1, None, 3], 1, "i") == (1, "i", 3)
    assert with_item(lambda: "ran", [None, 1], 0, "i") == "ran"


def test_the_item_of_an_input_key_comes_first() -> None:
    assert by_input(lambda size, factor: (size, factor), {"sizes": [1], "factor": 3}, 9) == (9, 3)
    assert by_input(lambda size, sizes: (size, sizes), {"sizes": [1]}, 9) == (9, [1])
    assert by_input(lambda *items: items, {"sizes": [1]}, 9) == (9,)
    assert by_input(lambda: "ran", {"sizes": [1]}, 9) == "ran"
    assert by_input(lambda size, **rest: (size, rest), {"sizes": [1]}, 9) == (9, {"sizes": [1]})


def test_positional_only_parameters_leave_the_first_to_the_item() -> None:
    def f(item: int, a: int, /, b: int) -> Any:
        return item, a, b

    assert by_input(f, {"a": 1, "b": 2}, 9) == (9, 1, 2)


# --- other callables ------------------------------------------------------------------------------


def test_a_wrapper_counts_as_what_it_wraps() -> None:
    def inner(a: int, b: int = 2) -> Any:
        return a, b

    @functools.wraps(inner)
    def outer(*args: Any, **keywords: Any) -> Any:
        return inner(*args, **keywords)

    assert by_input(outer, {"a": 1, "c": 3}) == (1, 2)


class Callable:
    def __call__(self, a: int) -> int:
        return a

    def method(self, a: int) -> int:
        return a

    @staticmethod
    def still(a: int) -> int:
        return a


@pytest.mark.parametrize(
    "function",
    [
        Callable(),
        Callable().method,
        Callable.still,
        functools.partial(lambda b, a: a, 0),
        abs,
        int,
    ],
)
def test_any_callable_takes_a_dependency(function: Any) -> None:
    assert in_order(function, 5) == 5


# --- slips ----------------------------------------------------------------------------------------


def test_a_key_beside_a_parameter_of_nearly_its_name_is_a_slip() -> None:
    read = parameters_of(lambda a, n_vals=3, *, rate=0.1: None)
    assert slips(read, {"a": 1, "n_vlas": 5}) == [("n_vlas", "n_vals")]
    assert slips(read, {"a": 1, "ratee": 5}) == [("ratee", "rate")]


@pytest.mark.parametrize(
    "given", [{}, None, [1], {"a": 1}, {"a": 1, "other": 5}, {"a": 1, "n_vals": 2, "n_vlas": 5}]
)
def test_what_somebody_else_may_take_is_none(given: Any) -> None:
    assert slips(parameters_of(lambda a, n_vals=3: None), given) == []
    assert slips(parameters_of(lambda a, n_vals=3, **more: None), {"n_vlas": 5}) == []
