"""Durations and sizes, read and written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from flowdapt.domain.quantities import (
    DurationS,
    SizeBytes,
    format_duration,
    format_size,
    parse_duration_s,
    parse_size_bytes,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("0.5s", 0.5),
        (" 30s ", 30),
        (30, 30),
        (1.5, 1.5),
        (0, 0),
    ],
)
def test_a_duration_is_read(text: object, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "30",
        "-1s",
        "1w",
        "1h x",
        "1e3s",
        "٣s",
        "1:30",
        True,
        None,
        [],
        float("nan"),
        -1,
        "100000d",
        10**400,
        "9" * 10000 + "s",
    ],
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8_000_000_000),
        ("512MiB", 512 * 1024**2),
        ("1.5KiB", 1536),
        ("64", 64),
        ("64B", 64),
        (64, 64),
        ("2k", 2000),
        ("0", 0),
    ],
)
def test_a_size_is_read(text: object, size: int) -> None:
    assert parse_size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "8 gigs", -1, True, 1.5, None, "99999PB", 2**63])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size_bytes(text)


@pytest.mark.parametrize("parse", [parse_duration_s, parse_size_bytes])
def test_a_long_text_costs_nothing(parse) -> None:
    began = time.perf_counter()
    with pytest.raises(ValueError, match="is not a"):
        parse("1" * 1_000_000)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize(
    ("seconds", "text"), [(5400, "90m"), (0.1, "100ms"), (7200, "2h"), (86400, "1d"), (90, "90s")]
)
def test_a_duration_is_written_in_its_largest_exact_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(0, 1e8, allow_nan=False))
def test_a_written_duration_is_read_as_the_same_number(seconds: float) -> None:
    assert parse_duration_s(format_duration(seconds)) == seconds


@given(st.integers(0, 2**63 - 1) | st.integers(0, 1000).map(lambda n: n * 1024**3))
def test_a_written_size_is_read_as_the_same_number(size: int) -> None:
    assert parse_size_bytes(format_size(size)) == size


@pytest.mark.parametrize("quantity", [DurationS, SizeBytes])
def test_what_the_schema_describes_is_accepted(quantity) -> None:
    adapter = TypeAdapter(quantity)
    number, text = adapter.json_schema()["anyOf"]

    @given(st.integers(0, int(number["maximum"])) | st.from_regex(text["pattern"], fullmatch=True))
    def accepted(value: object) -> None:
        adapter.validate_python(value.strip() if isinstance(value, str) else value)

    accepted()
