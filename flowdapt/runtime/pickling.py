"""Decide how values that are not JSON are pickled, and what is shown of them.

Pickle first, cloudpickle for what pickle cannot (functions, local classes). When neither can, the
error names the culprit by its path inside the value.
"""

from __future__ import annotations

import json
import pickle
import reprlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flowdapt.domain.errors import UnstorableResult

__all__ = ["dump", "dump_whole", "preview"]

PROTOCOL = 5
# Below this a page of its own costs more than a copy.
_APART_MIN_BYTES = 32 * 1024
_PREVIEW_MAX = 500
_DEPTH_MAX = 20

_PLAIN = (str, bytes, bytearray, int, float, complex, list, tuple, set, frozenset, dict)


def dump(value: Any) -> tuple[bytes, list[memoryview]]:
    """Return (pickle, large buffers); raise UnstorableResult naming type and path."""
    buffers: list[memoryview] = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _APART_MIN_BYTES:
            return True
        buffers.append(raw)
        return False

    try:
        return pickle.dumps(value, PROTOCOL, buffer_callback=stays_inside), buffers
    except Exception:
        buffers.clear()
    import cloudpickle

    try:
        head: bytes = cloudpickle.dumps(value, PROTOCOL, buffer_callback=stays_inside)
    except Exception as error:
        raise _unstorable(value, error) from error
    return head, buffers


def dump_whole(value: Any) -> bytes:
    """Return one pickle with everything inside."""
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception:
        import cloudpickle

        whole: bytes = cloudpickle.dumps(value, PROTOCOL)
        return whole


def _unstorable(value: Any, error: Exception) -> UnstorableResult:
    path, culprit = _find_culprit(value, "result", _DEPTH_MAX)
    kind = type(culprit)
    return UnstorableResult(
        f"{path} is a {kind.__module__}.{kind.__qualname__}, which cannot be pickled: {error}",
        fix="return data, and make such objects anew in the stage that needs them",
    )


def _find_culprit(value: Any, path: str, depth: int) -> tuple[str, Any]:
    """Follow the first part that cannot be pickled by itself, as far down as it goes."""
    if depth > 0:
        for step, child in _parts(value):
            if not _can_pickle(child):
                return _find_culprit(child, path + step, depth - 1)
    return path, value


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{reprlib.repr(key)}]", child) for key, child in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{position}]", child) for position, child in enumerate(value)]
    try:
        return [(f".{name}", child) for name, child in vars(value).items()]
    except TypeError:
        return []


def _can_pickle(value: Any) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(value, PROTOCOL)
    except Exception:
        return False
    return True


# --- what is shown --------------------------------------------------------------------------------


def preview(value: Any) -> str:
    """Return a short JSON text: type, shape or length, and the head where looking is harmless."""
    kind = type(value)
    shown: dict[str, Any] = {"type": f"{kind.__module__}.{kind.__qualname__}"}
    for name, look in _LOOKS.items():
        found = None
        with suppress(Exception):  # attributes of a stranger's object may do anything
            found = look(value)
        if found is not None:
            shown[name] = found
    return json.dumps(shown, ensure_ascii=False)


def _shape(value: Any) -> list[int] | None:
    return [int(size) for size in value.shape]


def _dtype(value: Any) -> str | None:
    return str(value.dtype)[:100]


def _columns(value: Any) -> list[str] | None:
    return [str(name)[:100] for name in list(value.columns)[:20]]


def _length(value: Any) -> int | None:
    return len(value) if not hasattr(value, "shape") else None


def _head(value: Any) -> str | None:
    """Never ask an object of unknown type for its repr: it may be slow, endless or raise."""
    if isinstance(value, _PLAIN):
        return reprlib.repr(value)[:_PREVIEW_MAX]
    if type(value).__module__ == "numpy" and hasattr(value, "flat"):
        return reprlib.repr(value.flat[:6].tolist())[:_PREVIEW_MAX]
    return None


_LOOKS: dict[str, Callable[[Any], object]] = {
    "shape": _shape,
    "dtype": _dtype,
    "columns": _columns,
    "length": _length,
    "head": _head,
}
