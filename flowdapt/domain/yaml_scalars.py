"""Decide the type of a YAML scalar by the core schema of 1.2: what is not plainly a number is text."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flowdapt.domain.positions import (
    FINITE,
    MAX_DIGITS,
    Mark,
    TextProblem,
    refuse_unstorable,
)

if TYPE_CHECKING:
    from ruamel.yaml.events import ScalarEvent

__all__ = ["scalar", "text_of"]

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASED = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def scalar(event: ScalarEvent, mark: Mark) -> Any:
    text: str = event.value
    kind = (event.tag or "").removeprefix("tag:yaml.org,2002:")
    if kind in ("str", "!") or (not kind and event.style is not None):
        return text_of(text, mark)
    value = _resolved(text, mark)
    wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(kind)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is not None and type(value) is not wanted:
        raise TextProblem(
            "document.bad_value",
            f"{text[:40]!r} is not of the type !!{kind}",
            mark,
            fix="remove the tag, or mend the value",
        )
    return value


def text_of(text: str, mark: Mark) -> str:
    """Join escaped surrogate pairs, as JSON does, and refuse halves of them."""
    if _SURROGATE.search(text):
        with suppress(UnicodeDecodeError):
            text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    refuse_unstorable(text, mark)
    return text


def _resolved(text: str, mark: Mark) -> Any:
    """Give a plain scalar its type by YAML 1.2's core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _NOT_FINITE.fullmatch(text):
        message = f"{text} is not a number that can be stored"
        raise TextProblem("document.not_finite", message, mark, fix=FINITE)
    if _FLOAT.fullmatch(text) or _BASED.fullmatch(text):
        return _number(text, mark)
    return text_of(text, mark)


def _number(text: str, mark: Mark) -> int | float:
    if len(text) > MAX_DIGITS:
        message = f"a number has more than {MAX_DIGITS} digits"
        raise TextProblem("document.number_too_long", message, mark, fix="quote it if it is a text")
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _INTEGER.fullmatch(text):
        return int(text)
    value = float(text)
    if math.isinf(value):
        message = f"{text[:40]} is larger than any number that can be stored"
        raise TextProblem("document.not_finite", message, mark, fix=FINITE)
    return value
