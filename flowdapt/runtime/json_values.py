"""Decide which values are JSON exactly: what goes out comes back equal, of the same types.

msgspec alone writes a tuple as a list, NaN as null and a dataclass as an object; whoever reads
such a text gets something else than the stage returned. Those values are left to pickle.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import msgspec

__all__ = ["find_json"]

_SCALARS = frozenset({type(None), bool, int, str})
_FLAT = _SCALARS | {float}
_NODES = _FLAT | {list, dict}
# What the API accepts as JSON; deeper values are legal Python and travel as pickles.
DEPTH_MAX = 64
# A list that holds itself many times over is small in memory and endless as text.
NODES_MAX = 20_000_000

_encode = msgspec.json.Encoder().encode


def find_json(value: Any) -> bytes | None:
    """Return the JSON text of a value that survives the journey unchanged, else None."""
    if type(value) not in _SCALARS and not _is_exact(value):
        return None
    try:
        return _encode(value)
    except (UnicodeEncodeError, RecursionError, TypeError, OverflowError):
        return None  # a lone surrogate, or an integer beyond what the encoder writes


def _is_exact(value: Any) -> bool:
    """Walk level by level, so that a million items cost a few passes in C and no call each."""
    level: list[Any] = [value]
    budget = NODES_MAX
    for _ in range(DEPTH_MAX):
        kinds = set(map(type, level))
        if not kinds <= _NODES or not _are_finite(level, kinds):
            return False
        if kinds <= _FLAT:
            return True
        groups = [_of_type(level, kinds, kind) for kind in (list, dict)]
        budget -= sum(len(holder) for group in groups for holder in group)
        if budget < 0 or not _has_text_keys(groups[1]):
            return False
        level = [*chain.from_iterable(groups[0])]
        level += chain.from_iterable(map(dict.values, groups[1]))
    return not level


def _of_type(level: list[Any], kinds: set[type], kind: type) -> list[Any]:
    if kind not in kinds:
        return []
    return level if len(kinds) == 1 else [item for item in level if type(item) is kind]


def _are_finite(level: list[Any], kinds: set[type]) -> bool:
    floats = _of_type(level, kinds, float)
    # The sum of finite numbers may overflow; only then each is looked at.
    return math.isfinite(sum(floats)) or all(map(math.isfinite, floats))


def _has_text_keys(mappings: list[Any]) -> bool:
    return set(map(type, chain.from_iterable(mappings))) <= {str}
