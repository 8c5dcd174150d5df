"""Decide where the files of values lie and what the daemon does with them: move, join, count, delete.

Nothing is ever unpickled here: JSON goes through as text, everything else stays a reference.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from flowdapt.domain.errors import (
    DamagedValue,
    InvalidInput,
    InvalidName,
    NotFound,
    StorageFull,
    Unavailable,
)
from flowdapt.domain.task import Part, ValueRef
from flowdapt.ports.values import ValueStore
from flowdapt.runtime.values import read_parts, store_inline, store_parts, verify

__all__ = ["FileValueStore"]

T = TypeVar("T")

_CHUNK = 1024 * 1024
_ADOPTED = "adopted"

_read_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_write_items = msgspec.json.Encoder().encode


class FileValueStore(ValueStore):
    """Result files below one folder, one folder for each run."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    async def spill(self, run: str, name: str, value: ValueRef) -> ValueRef:
        if value.kind not in ("inline", "parts"):
            return value
        write = store_parts if value.kind == "parts" else store_inline
        _check_segment(run)
        _check_segment(name)
        return await _in_thread(lambda: write(value, self._root, f"{run}/{name}"))

    async def json_text(self, value: ValueRef, *, limit_bytes: int) -> bytes | None:
        if value.kind == "inline":
            fits = value.codec == "json" and len(value.data) <= limit_bytes
            return value.data if fits else None
        return await _in_thread(lambda: self._text(value, limit_bytes))

    def _text(self, value: ValueRef, limit_bytes: int) -> bytes | None:
        if self._least_bytes(value) > limit_bytes or not self._is_json(value):
            return None
        pieces: list[bytes] = []
        total = 0
        for piece in self._pieces(value):
            total += len(piece)
            if total > limit_bytes:
                return None
            pieces.append(piece)
        return b"".join(pieces)

    async def iter_json(self, value: ValueRef) -> AsyncIterator[bytes]:
        if not await _in_thread(lambda: self._is_json(value)):
            raise InvalidInput(
                "the result is not JSON",
                code="run.result_not_json",
                fix="runs show  tells what it is; keep it as an artifact to get it out",
            )
        pieces = self._pieces(value)
        while (piece := await _in_thread(lambda: next(pieces, None))) is not None:
            yield piece

    async def adopt(self, run: str, values: Sequence[ValueRef]) -> list[ValueRef]:
        if not any(value.kind not in ("inline", "cluster") for value in values):
            return list(values)
        _check_segment(run)
        return await _in_thread(lambda: [self._adopt(run, value) for value in values])

    async def missing(self, values: Sequence[ValueRef]) -> list[ValueRef]:
        files = [value for value in values if value.kind not in ("inline", "cluster")]
        if not files:
            return []
        return await _in_thread(lambda: [value for value in files if not self._is_there(value)])

    async def damage(self, values: Sequence[ValueRef]) -> list[str]:
        return await _in_thread(lambda: [words for value in values if (words := self._harm(value))])

    def _harm(self, value: ValueRef) -> str | None:
        try:
            verify(value, self._root)
        except (DamagedValue, OSError) as error:
            return str(error)
        return None

    async def delete_run(self, run: str) -> None:
        _check_segment(run)
        await _in_thread(lambda: shutil.rmtree(f"{self._root}/{run}", ignore_errors=True))

    async def orphans(self, known: Sequence[str], *, older_than_s: float) -> list[str]:
        before = time.time() - older_than_s
        return await _in_thread(lambda: self._orphans(frozenset(known), before))

    def _orphans(self, known: frozenset[str], before: float) -> list[str]:
        found: list[str] = []
        with suppress(FileNotFoundError), os.scandir(self._root) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.name not in known and entry.stat().st_mtime < before:
                        found.append(entry.name)
        return sorted(found)

    # -- JSON without decoding -----------------------------------------------------------------------

    def _parts(self, value: ValueRef) -> tuple[Part, ...]:
        try:
            return read_parts(value, self._root)
        except DamagedValue as error:
            raise NotFound(error.message) from error

    def _is_json(self, value: ValueRef) -> bool:
        if value.kind == "mapping":
            return all(self._is_json(part.value) for part in value.parts)
        if value.kind == "parts" or value.codec == "parts":
            return all(self._is_json(part.value) for part in self._parts(value))
        return value.codec == "json" and value.kind in ("inline", "file")

    def _least_bytes(self, value: ValueRef) -> int:
        """Return what the text has at least, without reading; 0 where overlaps may hide parts."""
        if value.kind == "file" and value.codec == "json":
            return value.size_bytes
        return 0

    def _pieces(self, value: ValueRef) -> Iterator[bytes]:
        if value.kind == "mapping":
            yield from self._object_pieces(value)
        elif value.kind == "parts" or value.codec == "parts":
            yield from self._list_pieces(value)
        elif value.kind == "inline":
            yield value.data
        else:
            yield from self._file_pieces(value)

    def _file_pieces(self, value: ValueRef) -> Iterator[bytes]:
        try:
            with open(f"{self._root}/{value.location}", "rb") as file:  # noqa: PTH123  (a joined text)
                while chunk := file.read(_CHUNK):
                    yield chunk
        except FileNotFoundError:
            raise NotFound(f"the value's file {value.location} is gone") from None

    def _object_pieces(self, value: ValueRef) -> Iterator[bytes]:
        joint = b"{"
        for name, part in zip(value.names, value.parts, strict=True):
            yield joint + _write_items(name) + b":"
            yield from self._pieces(part.value)
            joint = b","
        yield b"}" if value.names else b"{}"

    def _list_pieces(self, value: ValueRef) -> Iterator[bytes]:
        """Yield the text stretch by stretch; where parts overlap, the later one holds."""
        parts = self._parts(value)
        owners = [-1] * (value.length or 0)
        for number, part in enumerate(parts):
            owners[part.start : part.stop] = [number] * (part.stop - part.start)
        joint, start = b"[", 0
        while start < len(owners):
            number, stop = owners[start], start + 1
            while stop < len(owners) and owners[stop] == number:
                stop += 1
            yield joint + self._stretch(parts[number] if number >= 0 else None, start, stop)
            joint, start = b",", stop
        yield b"]" if owners else b"[]"

    def _stretch(self, part: Part | None, start: int, stop: int) -> bytes:
        if part is None:
            return b",".join([b"null"] * (stop - start))
        text = b"".join(self._pieces(part.value))
        if (start, stop) == (part.start, part.stop):
            return text.strip()[1:-1]
        items = _read_items(text)[start - part.start : stop - part.start]
        return _write_items(items)[1:-1]

    # -- files -----------------------------------------------------------------------------------------

    def _is_there(self, value: ValueRef) -> bool:
        if value.kind in ("inline", "cluster"):
            return True
        if value.kind == "file":
            try:
                size = os.stat(f"{self._root}/{value.location}").st_size  # noqa: PTH116  (a joined text)
            except OSError:
                return False
            if size != value.size_bytes:
                return False
            if value.codec != "parts":
                return True
        return all(self._is_there(part.value) for part in self._parts(value))

    def _adopt(self, run: str, value: ValueRef) -> ValueRef:
        if value.kind in ("inline", "cluster"):
            return value
        if value.kind == "file" and value.codec != "parts":
            return msgspec.structs.replace(value, location=self._link(run, value.location))
        parts = tuple(
            Part(part.start, part.stop, self._adopt(run, part.value)) for part in self._parts(value)
        )
        if value.kind == "file":
            listed = ValueRef("parts", "json", length=value.length, parts=parts)
            owner, _, name = value.location.rpartition("/")
            return store_parts(listed, self._root, f"{run}/{_ADOPTED}/{_flat(owner)}.{name}")
        return msgspec.structs.replace(value, parts=parts)

    def _link(self, run: str, location: str) -> str:
        """Give the run a name of its own for a file: the bytes live as long as one of the names."""
        target = f"{run}/{_ADOPTED}/{_flat(location)}"
        source, path = f"{self._root}/{location}", f"{self._root}/{target}"
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.link(source, path)
        except FileExistsError:
            pass  # adopted before, by an attempt that did not end
        except FileNotFoundError:
            raise NotFound(f"the value's file {location} is gone") from None
        except OSError:  # a file system without links
            shutil.copyfile(source, path)
        return target


def _flat(location: str) -> str:
    return location.replace("/", ".")


def _check_segment(name: str) -> None:
    """Refuse what would leave the folder: names come from rows, and rows are old."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise InvalidName(f"{name!r} is no name of a value's folder or file")


async def _in_thread(work: Callable[[], T]) -> T:
    """Do file work off the loop; a disk that is full or read-only gets a name of its own."""
    try:
        return await trio.to_thread.run_sync(work)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull("no space is left for the values of runs") from error
        if error.errno == errno.EROFS:
            raise Unavailable("the disk of the values of runs cannot be written now") from error
        raise
