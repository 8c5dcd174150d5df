"""Decide how a value becomes a reference and a reference a value: JSON, or pickle with its buffers apart.

A file is written once, under a temporary name, and renamed. Its buffers lie on page bounds and are
mapped copy-on-write by whoever reads it: an array arrives without a copy and may be changed in place.
Who may decode is left to the house: workers only.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.domain.errors import DamagedValue, UnreadableValue, UnstorableResult
from flowdapt.domain.task import Part, ValueRef
from flowdapt.failpoints import failpoint
from flowdapt.runtime.json_values import find_json
from flowdapt.runtime.pickling import dump, dump_whole, preview

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "decode",
    "encode",
    "read_json",
    "read_parts",
    "store_inline",
    "store_parts",
    "verify",
    "write_file",
]

_PAGE = 4096
_HEAD = struct.Struct("<8sIQ")  # magic, length of the buffers' table, length of the pickle
_MAGIC = b"fdvalue1"
_WRITE_MAX = 1 << 30
# Reading a small pickle back is cheap, and tells the producer what the consumer would meet.
_PROBE_MAX_BYTES = 256 * 1024

_read_parts = msgspec.msgpack.Decoder(tuple[Part, ...]).decode
_read_table = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode
_write_table = msgspec.msgpack.Encoder().encode


def encode(
    value: Any, root: str, name: str, *, inline_max_bytes: int, durable: bool = False
) -> ValueRef:
    """Store a value and return its reference; raise UnstorableResult, OSError.

    `name` is the path of the file below `root`, without a suffix; small values need no file.
    """
    length = len(value) if isinstance(value, list | tuple) else None
    text = find_json(value)
    if text is not None:
        if len(text) <= inline_max_bytes:
            return ValueRef("inline", "json", text, size_bytes=len(text), length=length)
        location = f"{name}.json"
        write_file(f"{root}/{location}", [(0, text)], durable=durable)
        digest = _digest(text)
        return ValueRef("file", "json", b"", location, len(text), digest, length)
    return _encode_pickle(value, length, root, name, inline_max_bytes, durable)


def store_inline(ref: ValueRef, root: str, name: str) -> ValueRef:
    """Write the bytes of an inline value to a file, durably and as they are: nothing is decoded."""
    location = f"{name}.{ref.codec}"
    path = f"{root}/{location}"
    if ref.codec == "pickle":
        digest, size = _write_pickle(path, ref.data, (), durable=True)
    else:
        digest, size = _digest(ref.data), len(ref.data)
        write_file(path, [(0, ref.data)], durable=True)
    return msgspec.structs.replace(
        ref, kind="file", data=b"", location=location, size_bytes=size, sha256=digest
    )


def store_parts(ref: ValueRef, root: str, name: str) -> ValueRef:
    """Write the list of parts to a file, durably; the parts stay where they are."""
    coded = _write_table(ref.parts)
    location = f"{name}.parts"
    write_file(f"{root}/{location}", [(0, coded)], durable=True)
    digest = _digest(coded)
    return ValueRef("file", "parts", b"", location, len(coded), digest, ref.length, ref.preview)


def _encode_pickle(
    value: Any, length: int | None, root: str, name: str, inline_max_bytes: int, durable: bool
) -> ValueRef:
    head, buffers = dump(value)
    size = len(head) + sum(buffer.nbytes for buffer in buffers)
    shown = preview(value)
    if size <= inline_max_bytes:
        data = dump_whole(value) if buffers else head
        _probe(data, [])
        return ValueRef(
            "inline", "pickle", data, size_bytes=len(data), length=length, preview=shown
        )
    _probe(head, buffers)
    location = f"{name}.pickle"
    digest, total = _write_pickle(f"{root}/{location}", head, buffers, durable=durable)
    return ValueRef("file", "pickle", b"", location, total, digest, length, shown)


def _probe(head: bytes, buffers: Sequence[memoryview]) -> None:
    if len(head) <= _PROBE_MAX_BYTES:
        try:
            _load(head, buffers)
        except UnreadableValue as error:
            raise UnstorableResult(
                f"the result can be pickled and not read back: {error.message}"
            ) from error.__cause__


def _write_pickle(
    path: str, head: bytes, buffers: Sequence[memoryview], *, durable: bool
) -> tuple[str, int]:
    """Lay out table, pickle and buffers; return (sha256 of table and pickle, bytes of the file)."""
    # Offsets do not change the table's length for long: leave room for the widest numbers.
    room = _HEAD.size + 16 + 24 * len(buffers) + len(head)
    table: list[tuple[int, int]] = []
    position = _align(room)
    for buffer in buffers:
        table.append((position, buffer.nbytes))
        position = _align(position + buffer.nbytes)
    coded = _write_table(table)
    front = b"".join((_HEAD.pack(_MAGIC, len(coded), len(head)), coded, head))
    pieces: list[tuple[int, bytes | memoryview]] = [(0, front)]
    pieces.extend((at, buffer) for (at, _), buffer in zip(table, buffers, strict=True))
    write_file(path, pieces, durable=durable)
    last = table[-1][0] + table[-1][1] if table else len(front)
    return _digest(front), last


def _align(position: int) -> int:
    return -(-position // _PAGE) * _PAGE


def write_file(
    path: str, pieces: Sequence[tuple[int, bytes | memoryview]], *, durable: bool
) -> None:
    """Write (offset, bytes) pieces under a temporary name and rename; no half file is ever seen."""
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.{os.getpid()}.tmp"
    handle = _create(temporary, folder, durable=durable)
    try:
        try:
            for offset, piece in pieces:
                _write_all(handle, piece, offset)
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        failpoint("write.before_rename")
        os.rename(temporary, path)
        failpoint("write.after_rename")
        if durable:
            _sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _create(path: str, folder: str, *, durable: bool) -> int:
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if durable:
            _sync_folder(os.path.dirname(folder))
        return os.open(path, flags, 0o600)


def _write_all(handle: int, piece: bytes | memoryview, offset: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(handle, view[:_WRITE_MAX], offset)
        view, offset = view[written:], offset + written


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(content: bytes | memoryview) -> str:
    # It brings OpenSSL along, 6 MiB that a worker of small values never needs.
    import hashlib

    return hashlib.sha256(content).hexdigest()


# --- reading --------------------------------------------------------------------------------------


def decode(ref: ValueRef, root: str) -> Any:
    """Return the value behind a reference.

    Raise DamagedValue before anything is unpickled when the bytes are not those that were written,
    UnreadableValue when they are and cannot become an object here.
    """
    if ref.kind == "inline":
        return msgspec.json.decode(ref.data) if ref.codec == "json" else _load(ref.data, [])
    if ref.kind == "parts" or ref.codec == "parts":
        return _join(ref, root)
    if ref.kind == "mapping":
        pairs = zip(ref.names, ref.parts, strict=True)
        return {name: decode(part.value, root) for name, part in pairs}
    if ref.kind != "file":
        raise UnreadableValue(f"a value of kind {ref.kind!r} cannot be read by this worker")
    if ref.codec == "json":
        return msgspec.json.decode(read_json(ref, root))
    return _unpickle(ref, _map(ref, root))


def read_json(ref: ValueRef, root: str) -> bytes | memoryview:
    """Return the checked text of a JSON value."""
    if ref.kind == "inline":
        return ref.data
    mapped = _map(ref, root)
    _check(ref, mapped)
    return mapped


def read_parts(ref: ValueRef, root: str) -> tuple[Part, ...]:
    """Return the parts of a `parts` value, wherever they are listed."""
    if ref.kind == "parts":
        return ref.parts
    mapped = _map(ref, root)
    _check(ref, mapped)
    return _read_parts(mapped)


def _join(ref: ValueRef, root: str) -> list[Any]:
    items: list[Any] = [None] * (ref.length or 0)
    for part in read_parts(ref, root):
        values = decode(part.value, root)
        if len(values) != part.stop - part.start or part.stop > len(items):
            raise DamagedValue(f"the part [{part.start}, {part.stop}) holds {len(values)} items")
        items[part.start : part.stop] = values
    return items


def _map(ref: ValueRef, root: str) -> memoryview:
    """Map a file for this process alone; a change in memory never reaches it."""
    path = f"{root}/{ref.location}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise DamagedValue(f"the value's file {ref.location} is gone") from None
    try:
        size = os.fstat(handle).st_size
        if size != ref.size_bytes:
            raise DamagedValue(f"{ref.location} has {size} bytes, not {ref.size_bytes}")
        if not size:
            return memoryview(b"")
        return memoryview(mmap.mmap(handle, size, access=mmap.ACCESS_COPY))
    finally:
        os.close(handle)


def _check(ref: ValueRef, content: memoryview) -> None:
    if _digest(content) != ref.sha256:
        raise DamagedValue(f"{ref.location} is not what was written: its sha256 differs")


def verify(ref: ValueRef, root: str) -> None:
    """Raise DamagedValue unless the files behind a reference are as written. Decodes nothing."""
    if ref.kind == "parts" or ref.codec == "parts":
        for part in read_parts(ref, root):
            verify(part.value, root)
    elif ref.kind == "mapping":
        for part in ref.parts:
            verify(part.value, root)
    elif ref.kind == "file" and ref.codec == "json":
        read_json(ref, root)
    elif ref.kind == "file":
        _checked_head(ref, _map(ref, root))


def _checked_head(ref: ValueRef, mapped: memoryview) -> tuple[int, int]:
    """Return where the pickle starts and stops, its bytes being those that were written."""
    if len(mapped) < _HEAD.size:
        raise DamagedValue(f"{ref.location} is too short for a value")
    magic, table_size, head_size = _HEAD.unpack_from(mapped)
    start = _HEAD.size + table_size
    stop = start + head_size
    if magic != _MAGIC or stop > len(mapped):
        raise DamagedValue(f"{ref.location} is not a value's file")
    _check(ref, mapped[:stop])
    return start, stop


def _unpickle(ref: ValueRef, mapped: memoryview) -> Any:
    start, stop = _checked_head(ref, mapped)
    buffers = [mapped[at : at + size] for at, size in _read_table(mapped[_HEAD.size : start])]
    return _load(mapped[start:stop], buffers)


def _load(head: bytes | memoryview, buffers: Sequence[memoryview]) -> Any:
    try:
        return pickle.loads(head, buffers=buffers)  # noqa: S301  (a worker; the hash was checked)
    except Exception as error:
        raise UnreadableValue(f"{type(error).__name__}: {error}") from error
