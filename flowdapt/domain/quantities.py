"""Read and write durations (`500ms 30s 15m 2h 1d`) and sizes (`8GB 512MiB`) as people do."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

__all__ = [
    "DurationS",
    "SizeBytes",
    "format_duration",
    "format_size",
    "parse_duration_s",
    "parse_size_bytes",
]

_NUMBER = r"([0-9]{1,18}(?:\.[0-9]{1,9})?)"
_DURATION = re.compile(_NUMBER + r"\s*(ms|s|m|h|d)\s*")
_DURATION_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZE = re.compile(_NUMBER + r"\s*([kKMGTP]?)(i?)B?")
_SIZE_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_LONGEST_S = 10 * 365 * 86400.0
_LARGEST_BYTES = 2**63 - 1
# Longer texts are no quantity; matching them would only cost time.
_MAX_CHARS = 64


def parse_duration_s(value: object) -> float:
    """Return seconds; plain numbers are seconds. Raise ValueError with the accepted forms."""
    seconds: float
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    elif isinstance(value, str):
        seconds = _sum_of_parts(value.strip())
    else:
        raise ValueError(  # noqa: TRY004 -- pydantic turns ValueError into a problem
            "a duration is a number of seconds or text such as 500ms, 30s, 15m, 2h, 1d"
        )
    if not 0 <= seconds <= _LONGEST_S:
        raise ValueError("a duration lies between 0 and ten years")
    return float(seconds)


def _sum_of_parts(text: str) -> float:
    parts = _DURATION.findall(text) if len(text) <= _MAX_CHARS else []
    if not parts or _DURATION.sub("", text):
        raise ValueError(
            f"{text[:_MAX_CHARS]!r} is not a duration; write 500ms, 30s, 15m, 2h or 1d"
        )
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str | float:
    """Return the shortest exact text (`90m`, `1500ms`), or the number where none is exact."""
    for unit, size in _DURATION_UNITS.items():
        count = round(seconds / size)
        if count and count * size == seconds:
            return f"{count}{unit}"
    return seconds


def parse_size_bytes(value: object) -> int:
    """Return bytes; plain numbers are bytes. Raise ValueError with the accepted forms."""
    size = _size(value)
    if size is None:
        raise ValueError(f"{str(value)[:_MAX_CHARS]!r} is not a size; write bytes, 512MiB or 8GB")
    if size > _LARGEST_BYTES:
        raise ValueError("a size is less than 8 EiB")
    return size


def _size(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    text = value.strip() if isinstance(value, str) else ""
    match = _SIZE.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if match is None:
        return None
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _SIZE_POWERS[prefix])


def format_size(size_bytes: int) -> str | int:
    """Return the shortest exact text (`8GB`, `512MiB`), or the number where none is exact."""
    for power, prefix in reversed(list(enumerate("kMGTP", start=1))):
        for base, unit in ((1000, f"{prefix}B"), (1024, f"{prefix.upper()}iB")):
            if size_bytes and size_bytes % base**power == 0:
                return f"{size_bytes // base**power}{unit}"
    return size_bytes


def _written(number: str, most: float, pattern: str, example: str) -> WithJsonSchema:
    """Describe what is surely accepted; other forms may be read as well."""
    forms = [
        {"type": number, "minimum": 0, "maximum": most},
        {"type": "string", "pattern": pattern},
    ]
    return WithJsonSchema({"anyOf": forms, "examples": [example]})


DurationS = Annotated[
    float,
    BeforeValidator(parse_duration_s),
    PlainSerializer(format_duration, when_used="json"),
    _written("number", _LONGEST_S, "^[0-9]{1,3}(ms|s|m|h|d)$", "30s"),
]
SizeBytes = Annotated[
    int,
    BeforeValidator(parse_size_bytes),
    PlainSerializer(format_size, when_used="json"),
    _written("integer", _LARGEST_BYTES, "^[0-9]{1,3}[kMGTP]i?B$", "8GB"),
]
