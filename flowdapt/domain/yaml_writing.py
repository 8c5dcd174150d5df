"""Write JSON values as YAML that people read and `yaml_reading.py` reads back as the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["to_yaml"]

# What needs no quotes, in YAML 1.2 or in the older readers that see `no` and `1:30` as other things.
_PLAIN = re.compile(
    r"[A-Za-z_/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+(-][A-Za-z0-9_./@+()-]*)*"
    r"|[0-9]+(?:ms|[smhd]|[kMGTP]i?B)"
)
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_LINE = re.compile(r"[ -~\xa1-\u024f]*")
_FLOW_MAX_CHARS = 76


def to_yaml(value: Any) -> str:
    """Return the text of one document."""
    if isinstance(value, dict | list) and value:
        return "\n".join(_block(value)) + "\n"
    return f"{_inline(value)}\n"


def _block(value: Any) -> Iterator[str]:
    """Yield the lines of a mapping or list that is not empty."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _entry(f"{_text(str(key))}:", below, "  ")
    else:
        for below in value:
            yield from _item(below)


def _entry(head: str, below: Any, indent: str) -> Iterator[str]:
    if isinstance(below, str) and _is_prose(below):
        yield f"{head} |{'' if below.endswith(chr(10)) else '-'}"
        yield from (
            f"{indent}{line}" if line else "" for line in below.removesuffix("\n").split("\n")
        )
    elif not isinstance(below, Mapping | list) or _flow(below) is not None:
        yield f"{head} {_inline(below)}"
    else:
        yield head
        yield from (f"{indent}{line}" if line else "" for line in _block(below))


def _item(below: Any) -> Iterator[str]:
    if isinstance(below, Mapping | list) and _flow(below) is None:
        lines = list(_block(below))
        yield f"- {lines[0]}"
        yield from (f"  {line}" if line else "" for line in lines[1:])
    else:
        yield from _entry("-", below, "  ")


def _flow(value: Mapping[str, Any] | list[Any]) -> str | None:
    """Return a short list of scalars, or an empty container, on one line; None for the rest."""
    if not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    if isinstance(value, Mapping) or any(isinstance(item, dict | list) for item in value):
        return None
    line = f"[{', '.join(_inline(item) for item in value)}]"
    return line if len(line) <= _FLOW_MAX_CHARS else None


def _inline(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping | list):
        return _flow(value) or json.dumps(value, ensure_ascii=False)
    return json.dumps(value, allow_nan=False)


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # A JSON string is a YAML one; beyond ASCII only what every reader takes for a letter.
    return json.dumps(value, ensure_ascii=_LINE.fullmatch(value) is None)


def _is_prose(value: str) -> bool:
    lines = value.removesuffix("\n").split("\n")
    return (
        len(lines) > 1
        and bool(lines[0])
        and bool(lines[-1])
        and all(_LINE.fullmatch(line) and not line.startswith(" ") for line in lines)
        and all(line == line.rstrip() for line in lines)
    )
