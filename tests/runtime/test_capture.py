"""Output becomes lines, within bounds: the head and the tail are kept, what lies between is counted."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from flowdapt.domain.task import LogLine
from flowdapt.runtime import capture as module
from flowdapt.runtime.capture import Capture
from flowdapt.runtime.masking import Masker


def captured(*chunks: bytes, max_bytes: int = 1 << 20, **more: Any) -> list[str]:
    lines: list[LogLine] = []
    capture = Capture("stdout", lines.append, max_bytes=max_bytes, **more)
    for chunk in chunks:
        capture.feed(chunk)
    capture.finish()
    return [line.text for line in lines]


@given(some.binary(max_size=300), some.lists(some.integers(1, 20), max_size=30))
def test_chunks_do_not_matter(text: bytes, cuts: list[int]) -> None:
    chunks, rest = [], text
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    assert captured(*chunks, rest) == captured(text)


def test_lines_are_told_as_they_end() -> None:
    lines: list[LogLine] = []
    capture = Capture("stderr", lines.append, max_bytes=1000, index=lambda: 7)
    capture.feed(b"one\ntw")
    assert [(line.text, line.stream, line.level, line.index) for line in lines] == [
        ("one", "stderr", "warning", 7)
    ]
    capture.feed(b"o\r\n\nthree")
    capture.finish()
    assert [line.text for line in lines] == ["one", "two", "", "three"]


@given(some.lists(some.integers(0, 50), min_size=1, max_size=400), some.integers(20, 500))
def test_what_is_cut_is_counted(lengths: list[int], limit: int) -> None:
    lines = [f"{number}:{'x' * length}" for number, length in enumerate(lengths)]
    text = "".join(f"{line}\n" for line in lines)
    shown = captured(*(f"{line}\n".encode() for line in lines), max_bytes=limit)
    marks = [line for line in shown if "bytes of stdout cut" in line]
    if len(text) <= limit // 2:
        assert shown == lines
        return
    kept = sum(len(line) + 1 for line in shown if line not in marks)
    assert kept <= limit + 1
    assert len(marks) <= 1
    cut = int(re.findall(r"… (\d+) bytes", marks[0])[0]) if marks else 0
    assert kept + cut == len(text)


def test_the_last_lines_are_kept() -> None:
    shown = captured(*(f"line {n}\n".encode() for n in range(10_000)), max_bytes=2000)
    assert shown[0] == "line 0"
    assert shown[-1] == "line 9999"


def test_short_lines_are_bounded_by_their_number(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "HEAD_MAX_LINES", 10)
    monkeypatch.setattr(module, "TAIL_MAX_LINES", 5)
    shown = captured(b"y\n" * 1000, b"z\n")
    assert shown[:10] == ["y"] * 10
    assert shown[10] == "… 1972 bytes of stdout cut …"
    assert shown[11:] == ["y"] * 4 + ["z"]


def test_a_long_line_keeps_both_ends() -> None:
    (line,) = captured(*[b"a" * 100_000 + b"b" * 100_000] * 30, b"end\n", max_bytes=1 << 24)
    assert line.startswith("aaa")
    assert line.endswith("bend")
    assert "bytes cut" in line
    assert len(line) < 70_000


def test_bad_utf8_is_shown_as_escapes() -> None:
    assert captured(b"a\xffb\0c\n") == ["a\\xffb\0c"]


def test_a_secret_across_chunks_and_at_the_end_is_masked() -> None:
    masker = Masker(["hunter2-secret"])
    assert captured(b"key hunter2", b"-secret\nhunter2-", b"secret", masker=masker) == [
        "key ***",
        "***",
    ]
