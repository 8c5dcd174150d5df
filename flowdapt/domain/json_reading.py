"""Read JSON text strictly: no duplicate keys, NaN, lone surrogates, endless numbers or depth.

Positions are worked out only when somebody asks, since most documents have no problem.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from flowdapt.domain.positions import MAX_DEPTH, MAX_DIGITS, Place, TextProblem, mark_of_offset

__all__ = ["places_in_json", "read_json"]

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+)', re.DOTALL)
_START = (1, 1)


class _Bad(Exception):
    """Carries out of the decoder's hooks what is wrong, and the text to look for."""


def read_json(text: str) -> Any:
    """Return the value; raise TextProblem."""
    _refuse_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except json.JSONDecodeError as error:
        raise TextProblem("document.syntax", f"not JSON: {error.msg}", (error.lineno, error.colno)) from None
    except _Bad as error:
        code, message, needle = error.args
        raise TextProblem(code, message, mark_of_offset(text, max(text.find(needle), 0))) from None
    return value


def _refuse_depth(text: str) -> None:
    """Look at brackets outside strings, so that the decoder never recurses deeper than the limit."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        letter = match[0]
        if letter in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise TextProblem(
                    "document.too_deep",
                    f"nested deeper than {MAX_DEPTH} levels",
                    mark_of_offset(text, match.start()),
                )
        elif letter in "]}":
            depth -= 1


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Bad("document.duplicate_key", f"the key {twice[:100]!r} is there twice", json.dumps(twice))
    return mapping


def _no_constant(name: str) -> NoReturn:
    raise _Bad("document.not_finite", f"{name} is not a number that can be stored", name)


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Bad("document.number_too_long", f"a number has more than {MAX_DIGITS} digits", digits)
    return int(digits)


def _number(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise _Bad("document.number_too_long", f"a number has more than {MAX_DIGITS} digits", digits)
    value = float(digits)
    if math.isinf(value):
        raise _Bad("document.not_finite", f"{digits[:40]} is larger than any number that can be stored", digits)
    return value


def places_in_json(text: str) -> Place:
    """Return where everything stands in a text that `read_json` accepted."""
    root = Place(_START)
    # (place of the container, key waiting for its value | next index)
    stack: list[tuple[Place, str | int | None]] = []
    for match in _TOKEN.finditer(text):
        token, mark = match[1], mark_of_offset(text, match.start(1))
        if token in ",:":
            continue
        if token in "]}":
            stack.pop()
            continue
        if stack and stack[-1][1] is None:
            key = json.loads(token)
            stack[-1][0].keys[key] = mark
            stack[-1] = (stack[-1][0], key)
            continue
        place = root = Place(mark) if not stack else _placed(stack, mark, root)
