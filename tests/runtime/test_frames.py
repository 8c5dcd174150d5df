"""Packets become messages again, and what no honest peer sends is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from flowdapt.domain.task import Finished, LogLine, Started, ValueRef
from flowdapt.runtime.frames import (
    MESSAGE_MAX_BYTES,
    PACKET_MAX_BYTES,
    Assembler,
    BadFrame,
    FrameTooLarge,
    pack,
    read_message,
)

HEADER = struct.Struct("<2sHI")


@pytest.mark.parametrize("size", [0, 1, 131_000, 131_072, 1_000_000])
def test_a_message_comes_back(size: int) -> None:
    said = [Started(1), LogLine(1.0, "log", "info", "x" * size), Finished(ValueRef("inline"))]
    packets = pack(7, list(said))
    assert all(len(packet) <= PACKET_MAX_BYTES for packet in packets)
    assembler = Assembler()
    found = [assembler.feed(memoryview(packet)) for packet in packets]
    assert found[:-1] == [None] * (len(packets) - 1)
    assert found[-1] is not None
    number, body = found[-1]
    assert number == 7
    assert read_message(body) == said


def test_a_message_over_the_bound_is_not_sent() -> None:
    with pytest.raises(FrameTooLarge):
        pack(1, [LogLine(1.0, "log", "info", "x" * MESSAGE_MAX_BYTES)])


@given(some.binary(max_size=200))
def test_junk_is_refused_or_waits_for_more(junk: bytes) -> None:
    assembler = Assembler()
    try:
        found = assembler.feed(memoryview(junk))
        if found is not None:
            read_message(found[1])
    except BadFrame:
        return
    assert junk[:2] == b"fd"


def test_a_message_that_breaks_off_is_refused() -> None:
    assembler = Assembler()
    assert assembler.feed(memoryview(HEADER.pack(b"fd", 1, 1) + b"x")) is None
    with pytest.raises(BadFrame):
        assembler.feed(memoryview(HEADER.pack(b"fd", 0, 2) + b"x"))


def test_a_message_without_end_is_refused() -> None:
    assembler = Assembler()
    packet = memoryview(HEADER.pack(b"fd", 1, 1) + b"x" * 100_000)
    for _ in range(MESSAGE_MAX_BYTES // 100_000):
        assert assembler.feed(packet) is None
    with pytest.raises(BadFrame):
        assembler.feed(packet)
