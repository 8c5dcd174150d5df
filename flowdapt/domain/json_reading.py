"""Read JSON text strictly: no duplicate keys, NaN, lone surrogates, endless numbers or depth.

Positions are worked out only when somebody asks, since most documents have no problem.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from flowdapt.domain.positions import (
    FINITE,
    FLATTER,
    MAX_DEPTH,
    MAX_DIGITS,
    Lines,
    Mark,
    Place,
    TextProblem,
    unstorable_texts,
)

__all__ = ["places_in_json", "read_json"]

# The closing quote is optional and the repeat possessive: an open string costs one pass, not n.
_STRING = r'"(?:[^"\\]|\\.)*+"?'
_BRACKETS = re.compile(_STRING + r"|[\[\]{}]", re.DOTALL)
_MEND = "send one JSON value: keys and texts in double quotes, no comma before a bracket closes"
_TOKENS = re.compile(_STRING + r'|[\[\]{}]|[^\s\[\]{}:,"]+', re.DOTALL)


class _Refused(Exception):
    """Carries out of the decoder's hooks what is wrong, the text to look for, and the way out."""

    def __init__(self, code: str, message: str, needle: str, fix: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.needle = needle
        self.fix = fix


def read_json(text: str) -> Any:
    """Return the value; raise TextProblem."""
    _refuse_depth(text)
    try:
        value = _decoded(text)
    except json.JSONDecodeError as error:
        place = (error.lineno, error.colno)
        message = f"this is not JSON: {error.msg}"
        raise TextProblem("document.syntax", message, place, fix=_MEND) from None
    except _Refused as error:
        place = Lines(text).mark(max(text.rfind(error.needle), 0))
        raise TextProblem(error.code, error.message, place, error.fix) from None
    _refuse_escapes(text, value)
    return value


def _decoded(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_mapping,
        parse_constant=_no_constant,
        parse_int=_integer,
        parse_float=_number,
    )


def _refuse_depth(text: str) -> None:
    """Look at brackets outside strings, so that the decoder never recurses deeper than the limit."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in ("[", "{"):
            depth += 1
        elif match[0] in ("]", "}"):
            depth -= 1
        if depth > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            place = Lines(text).mark(match.start())
            raise TextProblem("document.too_deep", message, place, fix=FLATTER)


def _refuse_escapes(text: str, value: Any) -> None:
    """Escapes are the one way for a NUL or a lone surrogate to get past the look at the text."""
    if "\\u" in text:
        for loc in unstorable_texts(value):
            raise TextProblem(
                "document.bad_character",
                "a text holds a NUL or half a surrogate pair, which cannot be stored",
                places_in_json(text).find(loc),
                fix="remove the escape",
            )


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        key = _first_repeated(key for key, _ in pairs)
        message = f"the key {key[:100]!r} is there twice"
        needle = json.dumps(key, ensure_ascii=False)
        raise _Refused("document.duplicate_key", message, needle, "keep one")
    return mapping


def _first_repeated(keys: Iterator[str]) -> str:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    raise AssertionError("no key is repeated")


def _no_constant(name: str) -> NoReturn:
    message = f"{name} is not a number that JSON knows"
    raise _Refused("document.not_finite", message, name, FINITE)


def _integer(digits: str) -> int:
    return int(_short(digits))


def _number(digits: str) -> float:
    value = float(_short(digits))
    if math.isinf(value):
        message = f"{digits[:40]} is larger than any number that can be stored"
        raise _Refused("document.not_finite", message, digits, FINITE)
    return value


def _short(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        message = f"a number has more than {MAX_DIGITS} digits"
        raise _Refused("document.number_too_long", message, digits, "quote it if it is a text")
    return digits


def places_in_json(text: str) -> Place:
    """Return where everything stands in a text that `read_json` can decode."""
    lines = Lines(text)
    tokens = ((match[0], lines.mark(match.start())) for match in _TOKENS.finditer(text))
    return _place(*next(tokens), tokens)


def _place(first: str, mark: Mark, tokens: Iterator[tuple[str, Mark]]) -> Place:
    place = Place(mark)
    if first == "{":
        for name, key_mark in tokens:
            if name == "}":
                break
            key = json.loads(name)
            place.keys[key] = key_mark
            place.children[key] = _place(*next(tokens), tokens)
    elif first == "[":
        for index, (item, item_mark) in enumerate(tokens):
            if item == "]":
                break
            place.children[index] = _place(item, item_mark, tokens)
    return place
