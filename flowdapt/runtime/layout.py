"""Decide the bytes of a value's file: a table of its buffers, the pickle, then each buffer on a page bound.

So a file, or memory that has no name, can be mapped copy-on-write and an array in it used where it lies.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from flowdapt.domain.errors import DamagedValue

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PAGE", "align", "lay_out", "pickle_in", "take_apart"]

PAGE = 4096
_HEAD = struct.Struct("<8sIQ")  # magic, length of the buffers' table, length of the pickle
_MAGIC = b"fdvalue1"

_read_table = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode
_write_table = msgspec.msgpack.Encoder().encode

Piece = bytes | bytearray | memoryview


def lay_out(head: Piece, buffers: Sequence[Piece]) -> tuple[list[tuple[int, Piece]], int]:
    """Return the pieces with their offsets, table and pickle first, and the bytes of the whole."""
    # Offsets do not change the table's length for long: leave room for the widest numbers.
    room = _HEAD.size + 16 + 24 * len(buffers) + len(head)
    table: list[tuple[int, int]] = []
    position = align(room)
    for buffer in buffers:
        size = memoryview(buffer).nbytes
        table.append((position, size))
        position = align(position + size)
    coded = _write_table(table)
    front = b"".join((_HEAD.pack(_MAGIC, len(coded), len(head)), coded, head))
    pieces: list[tuple[int, Piece]] = [(0, front)]
    pieces.extend((at, buffer) for (at, _), buffer in zip(table, buffers, strict=True))
    return pieces, table[-1][0] + table[-1][1] if table else len(front)


def align(position: int) -> int:
    """Return the next page bound."""
    return -(-position // PAGE) * PAGE


def pickle_in(content: memoryview, name: str) -> tuple[int, int]:
    """Return where the pickle starts and stops; raise DamagedValue. What is before `stop` is hashed."""
    if len(content) < _HEAD.size:
        raise DamagedValue(f"{name} is too short for a value")
    magic, table_size, head_size = _HEAD.unpack_from(content)
    start = _HEAD.size + table_size
    stop = start + head_size
    if magic != _MAGIC or stop > len(content):
        raise DamagedValue(f"{name} is not a value's file")
    return start, stop


def take_apart(content: memoryview, start: int, stop: int) -> tuple[memoryview, list[memoryview]]:
    """Return pickle and buffers, as views into the content."""
    table = _read_table(content[_HEAD.size : start])
    return content[start:stop], [content[at : at + size] for at, size in table]
