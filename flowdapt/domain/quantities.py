"""Read durations (`500ms 30s 15m 2h 1d`) and sizes (`8GB 512MiB`) as people write them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

__all__ = ["DurationS", "SizeBytes", "parse_duration_s", "parse_size_bytes"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGTP]?)(i?)B?")
_SIZE_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_LONGEST_S = 10 * 365 * 86400.0


def parse_duration_s(value: object) -> float:
    """Return seconds; plain numbers are seconds. Raise ValueError with the accepted forms."""
    if isinstance(value, bool):
        raise ValueError("a duration is a number of seconds or text such as 500ms, 30s, 15m, 2h, 1d")
    if isinstance(value, int | float):
        seconds = float(value)
    else:
        seconds = _sum_of_parts(str(value).strip())
    if not 0 <= seconds <= _LONGEST_S:
        raise ValueError("a duration lies between 0 and ten years")
    return seconds


def _sum_of_parts(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(f"{text!r} is not a duration; write 500ms, 30s, 15m, 2h or 1d")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


def parse_size_bytes(value: object) -> int:
    """Return bytes; plain numbers are bytes. Raise ValueError with the accepted forms."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a size; write bytes, 512MiB or 8GB")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _SIZE_POWERS[prefix])


DurationS = Annotated[float, BeforeValidator(parse_duration_s)]
SizeBytes = Annotated[int, BeforeValidator(parse_size_bytes)]
