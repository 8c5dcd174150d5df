"""Decide how a run's log lies on disk: three files that are only appended to, and how they are mended.

`log.text` holds the lines as plain UTF-8; `log.index` one record of 32 bytes per line, so that line n is
found without reading; `log.heads` what many lines share (stage, attempt, level, stream, logger), once
each as JSON. Written in the order heads, text, index: a kill leaves at most a tail that no record names.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flowdapt.domain.task import LogLine
from flowdapt.failpoints import failpoint

__all__ = ["CUT", "RECORD", "Entry", "Head", "LogFiles", "Record", "read_heads", "remove_log"]

# time, offset of the text, its length without the newline, head, item (-1: none), flags
RECORD = struct.Struct("<dQIIiI")
CUT = 1  # the cap cut the log here: nothing follows
LINE_MAX_BYTES = 256 * 1024
# A stage that logs under names without end must not fill the memory of who reads them.
HEADS_WITH_LOGGER_MAX = 10_000
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class Head(NamedTuple):
    """What a line shares with many others."""

    stage: str
    attempt: int
    level: str
    stream: str
    logger: str


class Record(NamedTuple):
    """One line in the index."""

    time: float
    offset: int
    length: int
    head: int
    item: int
    flags: int


class Entry(NamedTuple):
    """One line to write."""

    stage: str
    attempt: int
    line: LogLine
    flags: int = 0


class LogFiles:
    """The writer's side of one run's log. One at a time per run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        content = _read_heads_file(folder)
        heads, sound = _parse_heads(content)
        if sound < len(content):
            os.truncate(folder / "log.heads", sound)
        self._heads = {head: at for at, head in enumerate(heads)}
        self.count, self._text_size, self.cut = _mend(folder, len(heads))

    @property
    def size_bytes(self) -> int:
        """How much the log takes, index included."""
        return self._text_size + self.count * RECORD.size

    def append(self, entries: Sequence[Entry], *, cap_bytes: int) -> bool:
        """Write lines; say whether all of them fitted under the cap, else the last one is the mark.

        Raise OSError when they cannot be written; the files are then as before.
        """
        kept = self._fitting(entries, cap_bytes)
        heads = dict(self._heads)
        texts, records = self._encode(kept, heads)
        fresh = [json.dumps(head) + "\n" for head in list(heads)[len(self._heads) :]]
        self._write("".join(fresh).encode(), texts, records)
        self._heads = heads
        self._text_size += len(texts)
        self.count += len(records) // RECORD.size
        self.cut = bool(kept) and bool(kept[-1].flags & CUT)
        return not self.cut

    def _fitting(self, entries: Sequence[Entry], cap_bytes: int) -> Sequence[Entry]:
        room = cap_bytes - self.size_bytes
        for at, entry in enumerate(entries):
            room -= len(entry.line.text) + 1 + RECORD.size
            if room < 0:
                words = f"the log is over {cap_bytes} bytes: what follows is not kept"
                mark = LogLine(entry.line.time, "log", "warning", words, None, "flowdapt")
                return [*entries[:at], Entry(entry.stage, entry.attempt, mark, CUT)]
        return entries

    def _encode(self, entries: Iterable[Entry], heads: dict[Head, int]) -> tuple[bytes, bytes]:
        texts: list[bytes] = []
        records: list[bytes] = []
        offset = self._text_size
        for stage, attempt, line, flags in entries:
            logger = line.logger if len(heads) < HEADS_WITH_LOGGER_MAX else ""
            head = Head(stage, attempt, line.level, line.stream, logger)
            number = heads.setdefault(head, len(heads))
            index = -1 if line.index is None else line.index
            for text in _lines_of(line.text):
                records.append(RECORD.pack(line.time, offset, len(text), number, index, flags))
                texts.append(text)
                offset += len(text) + 1
        return b"".join([text + b"\n" for text in texts]), b"".join(records)

    def _write(self, heads: bytes, texts: bytes, records: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before: list[tuple[int, int]] = []
        try:
            for name, content in (("heads", heads), ("text", texts), ("index", records)):
                if content:
                    handle = os.open(self._folder / f"log.{name}", _APPEND, 0o600)
                    before.append((handle, os.fstat(handle).st_size))
                    _write_all(handle, content)
                if name == "text":
                    failpoint("log.before_index")
        except OSError:
            for handle, size in reversed(before):
                with suppress(OSError):
                    os.ftruncate(handle, size)
            raise
        finally:
            for handle, _ in before:
                os.close(handle)


def read_heads(folder: Path) -> list[Head]:
    """Return the heads by number; a torn last line is no head."""
    return _parse_heads(_read_heads_file(folder))[0]


def remove_log(folder: Path) -> None:
    """Delete a log's files, and the folder when nothing else is in it."""
    for name in ("log.index", "log.text", "log.heads"):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _read_heads_file(folder: Path) -> bytes:
    try:
        handle = os.open(folder / "log.heads", _READ)
    except FileNotFoundError:
        return b""
    with os.fdopen(handle, "rb") as file:
        return file.read()


def _parse_heads(content: bytes) -> tuple[list[Head], int]:
    """Return the heads up to the first line that is none, and how many bytes they take."""
    heads: list[Head] = []
    size = 0
    for line in content.splitlines(keepends=True):
        try:
            head = Head(*json.loads(line)) if line.endswith(b"\n") else None
        except (ValueError, TypeError):
            head = None
        if head is None:
            break
        heads.append(head)
        size += len(line)
    return heads, size


def _lines_of(text: str) -> list[bytes]:
    content = text.encode("utf-8", "backslashreplace")
    if len(content) > LINE_MAX_BYTES:
        lost = len(content) - LINE_MAX_BYTES
        content = content[:LINE_MAX_BYTES] + f" … {lost} more bytes".encode()
    return content.split(b"\n")


def _write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def _mend(folder: Path, heads: int) -> tuple[int, int, bool]:
    """Cut off what a kill left half-written; return (lines, bytes of text, cut by the cap)."""
    index, text = folder / "log.index", folder / "log.text"
    if not index.exists():
        text.unlink(missing_ok=True)
        return 0, 0, False
    size = text.stat().st_size if text.exists() else 0
    with index.open("r+b") as file:
        count = file.seek(0, os.SEEK_END) // RECORD.size
        while count and not _is_sound(file.fileno(), count - 1, size, heads):
            count -= 1
        file.truncate(count * RECORD.size)
        last = _record_at(file.fileno(), count - 1) if count else None
    end = last.offset + last.length + 1 if last else 0
    if size > end:
        os.truncate(text, end)
    return count, end, last is not None and bool(last.flags & CUT)


def _is_sound(index: int, number: int, text_size: int, heads: int) -> bool:
    """A record must follow the one before it and name text and a head that are there."""
    record = _record_at(index, number)
    before = _record_at(index, number - 1) if number else None
    starts = before.offset + before.length + 1 if before else 0
    ends = record.offset + record.length + 1
    return record.offset == starts and ends <= text_size and record.head < heads


def _record_at(index: int, number: int) -> Record:
    return Record(*RECORD.unpack(os.pread(index, RECORD.size, number * RECORD.size)))
