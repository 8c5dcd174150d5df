"""Decide how a value becomes a reference and a reference a value: JSON, or pickle with its buffers apart.

A file is written once, under a temporary name, and renamed. Its buffers lie on page bounds and are
mapped copy-on-write by whoever reads it: an array arrives without a copy and may be changed in place.
Who may decode is left to the house: workers only.
"""

from __future__ import annotations

import mmap
import os
import pickle
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.domain.errors import DamagedValue, UnreadableValue, UnstorableResult
from flowdapt.domain.task import Part, ValueRef
from flowdapt.failpoints import failpoint
from flowdapt.runtime.areas import write_all
from flowdapt.runtime.held import CopyGone, find_copy
from flowdapt.runtime.json_values import find_json
from flowdapt.runtime.layout import lay_out, pickle_in, take_apart
from flowdapt.runtime.pickling import dump, dump_whole, preview

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowdapt.runtime.layout import Piece

    Content = tuple[bytes, Sequence[memoryview]]

__all__ = [
    "decode",
    "encode",
    "load_content",
    "load_pickle",
    "read_json",
    "read_parts",
    "read_pickle",
    "shape",
    "store_inline",
    "store_parts",
    "verify",
    "write_file",
    "write_pickle",
    "write_text",
]

# Reading a small pickle back is cheap, and tells the producer what the consumer would meet.
_PROBE_MAX_BYTES = 256 * 1024

_read_parts = msgspec.msgpack.Decoder(tuple[Part, ...]).decode
_write_parts = msgspec.msgpack.Encoder().encode


def encode(
    value: Any, root: str, name: str, *, inline_max_bytes: int, durable: bool = False
) -> ValueRef:
    """Store a value and return its reference; raise UnstorableResult, OSError.

    `name` is the path of the file below `root`, without a suffix; small values need no file.
    """
    ref, content = shape(value, inline_max_bytes)
    if content is None:
        return ref
    head, buffers = content
    if ref.codec == "json":
        return write_text(ref, root, name, head, durable=durable)
    return write_pickle(ref, root, name, head, buffers, durable=durable)


def shape(value: Any, inline_max_bytes: int) -> tuple[ValueRef, Content | None]:
    """Return a value's reference: whole when it is small, else with what is to be stored for it.

    Raise UnstorableResult.
    """
    length = len(value) if isinstance(value, list | tuple) else None
    text = find_json(value)
    if text is None:
        return _shape_pickle(value, length, inline_max_bytes)
    if len(text) <= inline_max_bytes:
        return ValueRef("inline", "json", text, size_bytes=len(text), length=length), None
    return ValueRef("file", "json", size_bytes=len(text), length=length), (text, ())


def write_text(ref: ValueRef, root: str, name: str, text: Piece, *, durable: bool) -> ValueRef:
    """Write a text as it is; return `ref` as that file."""
    location = f"{name}.{ref.codec}"
    write_file(f"{root}/{location}", [(0, text)], durable=durable)
    return _as_file(ref, location, len(text), _digest(text))


def write_pickle(
    ref: ValueRef, root: str, name: str, head: Piece, buffers: Sequence[Piece], *, durable: bool
) -> ValueRef:
    """Write a pickle and its buffers; return `ref` as that file."""
    location = f"{name}.pickle"
    digest, size = _write_pickle(f"{root}/{location}", head, buffers, durable=durable)
    return _as_file(ref, location, size, digest)


def _as_file(ref: ValueRef, location: str, size: int, digest: str) -> ValueRef:
    return msgspec.structs.replace(
        ref, kind="file", data=b"", location=location, size_bytes=size, sha256=digest
    )


def store_inline(ref: ValueRef, root: str, name: str) -> ValueRef:
    """Write the bytes of an inline value to a file, durably and as they are: nothing is decoded."""
    if ref.codec == "pickle":
        return write_pickle(ref, root, name, ref.data, (), durable=True)
    return write_text(ref, root, name, ref.data, durable=True)


def store_parts(ref: ValueRef, root: str, name: str) -> ValueRef:
    """Write the list of parts to a file, durably; the parts stay where they are."""
    coded = _write_parts(ref.parts)
    location = f"{name}.parts"
    write_file(f"{root}/{location}", [(0, coded)], durable=True)
    digest = _digest(coded)
    return ValueRef("file", "parts", b"", location, len(coded), digest, ref.length, ref.preview)


def _shape_pickle(
    value: Any, length: int | None, inline_max_bytes: int
) -> tuple[ValueRef, Content | None]:
    head, buffers = dump(value)
    size = len(head) + sum(buffer.nbytes for buffer in buffers)
    shown = preview(value)
    if size <= inline_max_bytes:
        data = dump_whole(value) if buffers else head
        _probe(data, [])
        ref = ValueRef("inline", "pickle", data, size_bytes=len(data), length=length, preview=shown)
        return ref, None
    _probe(head, buffers)
    ref = ValueRef("file", "pickle", size_bytes=size, length=length, preview=shown)
    return ref, (head, buffers)


def _probe(head: bytes, buffers: Sequence[memoryview]) -> None:
    if len(head) <= _PROBE_MAX_BYTES:
        try:
            load_pickle(head, buffers)
        except UnreadableValue as error:
            raise UnstorableResult(
                f"the result can be pickled and not read back: {error.message}"
            ) from error.__cause__


def _write_pickle(
    path: str, head: Piece, buffers: Sequence[Piece], *, durable: bool
) -> tuple[str, int]:
    """Lay out table, pickle and buffers; return (sha256 of table and pickle, bytes of the file)."""
    pieces, total = lay_out(head, buffers)
    write_file(path, pieces, durable=durable)
    return _digest(pieces[0][1]), total


def write_file(path: str, pieces: Sequence[tuple[int, Piece]], *, durable: bool) -> None:
    """Write (offset, bytes) pieces under a temporary name and rename; no half file is ever seen."""
    folder, _, name = path.rpartition("/")
    temporary = f"{folder}/.{name}.{os.getpid()}.tmp"
    handle = _create(temporary, folder, durable=durable)
    try:
        try:
            for offset, piece in pieces:
                write_all(handle, piece, offset)
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


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(content: Piece) -> str:
    # It brings OpenSSL along, 6 MiB that a worker of small values never needs.
    import hashlib

    return hashlib.sha256(content).hexdigest()


# --- reading --------------------------------------------------------------------------------------


def decode(ref: ValueRef, root: str) -> Any:
    """Return the value behind a reference.

    A live copy that the executor lends goes before the file. Raise DamagedValue before anything is unpickled when the bytes are not those that were written,
    UnreadableValue when they are and cannot become an object here.
    """
    if ref.handle and (content := _find_live(ref)) is not None:
        return load_content(content, ref.codec, ref.handle)
    if ref.kind == "inline":
        return msgspec.json.decode(ref.data) if ref.codec == "json" else load_pickle(ref.data, [])
    if ref.kind == "parts" or ref.codec == "parts":
        return _join(ref, root)
    if ref.kind == "mapping":
        pairs = zip(ref.names, ref.parts, strict=True)
        return {name: decode(part.value, root) for name, part in pairs}
    if ref.kind != "file":
        raise UnreadableValue(f"a value of kind {ref.kind!r} cannot be read by this worker")
    if ref.codec == "json":
        return msgspec.json.decode(read_json(ref, root))
    return load_pickle(*read_pickle(ref, root))


def read_json(ref: ValueRef, root: str) -> bytes | memoryview:
    """Return the checked text of a JSON value."""
    if ref.kind == "inline":
        return ref.data
    if ref.handle and (content := _find_live(ref)) is not None:
        return content
    mapped = _map(ref, root)
    _check(ref, mapped)
    return mapped


def _find_live(ref: ValueRef) -> memoryview | None:
    """Map the live copy; None where a file serves as well, CopyGone where nothing does."""
    copy = find_copy(ref.handle)
    if copy is not None:
        with suppress(OSError):
            return copy.map()
    if ref.kind == "cluster":
        raise CopyGone(ref.handle)
    return None


def load_content(content: memoryview, codec: str, name: str) -> Any:
    """Make the object of content that never left the memory of this cluster."""
    if codec == "json":
        return msgspec.json.decode(content)
    return load_pickle(*take_apart(content, *pickle_in(content, name)))


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
    start, stop = pickle_in(mapped, ref.location)
    _check(ref, mapped[:stop])
    return start, stop


def read_pickle(ref: ValueRef, root: str) -> tuple[memoryview, list[memoryview]]:
    """Return the checked pickle of a file and its buffers, mapped for this process alone."""
    mapped = _map(ref, root)
    return take_apart(mapped, *_checked_head(ref, mapped))


def load_pickle(head: Piece, buffers: Sequence[Piece]) -> Any:
    """Make the object: for workers only, of bytes that one of them wrote. Raise UnreadableValue."""
    try:
        return pickle.loads(head, buffers=buffers)  # noqa: S301  (a worker; the hash was checked)
    except Exception as error:
        raise UnreadableValue(f"{type(error).__name__}: {error}") from error
