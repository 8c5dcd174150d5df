"""Decide which lines of a run's log a question means: by number, head and expression, forwards or back.

The expression runs over whole blocks of text in RE2, which is linear in the text whatever the pattern,
and holds no lock meanwhile. The files' layout is `log_files.py`'s affair.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.task import LogLine
from flowdapt.ports.logs import LogPage, LogQuery, StoredLine
from flowdapt.stores.log_files import CUT, RECORD, Head, Record, read_heads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Search = Callable[..., Any]

__all__ = ["LEVELS", "read_page"]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
LIMIT_MAX = 100_000
CONTEXT_MAX = 1000
PATTERN_MAX = 1000
BLOCK_RECORDS = 8192
BLOCK_BYTES = 4 * 1024 * 1024
# How far context is looked for among lines of other stages.
NEIGHBOURS_MAX = 20_000
# What a line is shown with whose head went down with the machine.
UNKNOWN = Head("?", 0, "info", "log", "")
_ANCHOR_OF_TEXT = re.compile(r"\\[Az]")


def read_page(folder: Path, query: LogQuery) -> LogPage:
    """Return the lines that a query means; raise InvalidInput."""
    choice = _Choice(query)
    with ExitStack() as stack:
        try:
            files = stack.enter_context(_Files(folder))
        except FileNotFoundError:
            return LogPage([], query.after)
        return _Reading(files, query, choice).page()


class _Choice:
    """A checked query."""

    def __init__(self, query: LogQuery) -> None:
        if not 1 <= query.limit <= LIMIT_MAX:
            raise InvalidInput(f"limit is 1 to {LIMIT_MAX}, not {query.limit}")
        if not 0 <= query.context <= CONTEXT_MAX:
            raise InvalidInput(f"context is 0 to {CONTEXT_MAX}, not {query.context}")
        if query.min_level is not None and query.min_level.lower() not in LEVELS:
            raise InvalidInput(
                f"unknown level {query.min_level!r}", fix=f"use one of {', '.join(LEVELS)}"
            )
        self.min_rank = _rank(query.min_level) if query.min_level else 0
        self.pattern = _compile(query.grep) if query.grep else None
        # What is anchored at the ends of the text must be shown each line by itself.
        self.line_by_line = bool(query.grep and _ANCHOR_OF_TEXT.search(query.grep))


def _compile(grep: str) -> Any:
    import re2

    if len(grep) > PATTERN_MAX:
        raise InvalidInput(f"an expression has at most {PATTERN_MAX} characters")
    options = re2.Options()
    options.log_errors = False
    options.never_nl = True
    try:
        return re2.compile(f"(?m){grep}".encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        words = error.args[0] if error.args else error
        words = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        raise InvalidInput(
            f"{grep[:140]!r} is not a regular expression: {words.replace('(?m)', '')}",
            fix="the syntax is RE2's: no look-around and no back references",
            code="request.expression",
        ) from None


class _Files:
    """Both files of a log, opened once: what is appended meanwhile is the next reading's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        with ExitStack() as stack:
            self._index = os.open(self._folder / "log.index", flags)
            stack.callback(os.close, self._index)
            self._text = os.open(self._folder / "log.text", flags)
            stack.callback(os.close, self._text)
            self.heads = read_heads(self._folder)
            self.count = os.fstat(self._index).st_size // RECORD.size
            self._close = stack.pop_all().close
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def raw(self, low: int, high: int) -> bytes:
        """Return the index's records [low, high)."""
        return os.pread(self._index, (high - low) * RECORD.size, low * RECORD.size)

    def record(self, number: int) -> Record:
        return Record(*RECORD.unpack(self.raw(number, number + 1)))

    def text(self, offset: int, length: int) -> bytes:
        return os.pread(self._text, length, offset)


class _Reading:
    def __init__(self, files: _Files, query: LogQuery, choice: _Choice) -> None:
        self._files = files
        self._query = query
        self._choice = choice
        self._heads = self._passing_heads()
        self._all_pass = len(self._heads) == len(files.heads) and query.index is None

    def page(self) -> LogPage:
        query, count = self._query, self._files.count
        low = max(query.after, 0)
        high = count if query.before is None else max(min(query.before - 1, count), 0)
        hits = list(islice(self._hits(low, high), query.limit))
        last = max(low, high)
        if len(hits) == query.limit and not query.tail:
            last = hits[-1] + 1
        numbers = sorted(hits)
        if query.context and self._choice.pattern is not None:
            numbers = sorted({near for hit in hits for near in self._around(hit, low, high)})
        return LogPage([self._line(number) for number in numbers], last, self._is_cut())

    def _hits(self, low: int, high: int) -> Iterator[int]:
        """Yield what matches in [low, high): the newest first for a tail, else the oldest."""
        if not self._heads:
            return
        for start, stop in self._blocks(low, high):
            found = self._in_block(start, stop)
            yield from reversed(found) if self._query.tail else found

    def _blocks(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        size = BLOCK_RECORDS
        if self._query.tail:
            for stop in range(high, low, -size):
                yield max(stop - size, low), stop
        else:
            for start in range(low, high, size):
                yield start, min(start + size, high)

    def _in_block(self, start: int, stop: int) -> list[int]:
        raw = self._files.raw(start, stop)
        pattern = self._choice.pattern
        if pattern is not None:
            found = self._matching(raw, pattern.search)
            return [start + at for at in found if self._passes(_unpack(raw, at))]
        if self._all_pass:
            return list(range(start, stop))
        return [start + at for at, r in enumerate(RECORD.iter_unpack(raw)) if self._passes(r)]

    def _matching(self, raw: bytes, search: Search) -> Iterator[int]:
        """Yield the positions in a block whose text matches; its text is read in bounded pieces."""
        count, at = len(raw) // RECORD.size, 0
        while at < count:
            first = _unpack(raw, at)
            after = max(_first_past(raw, at, count, first.offset + BLOCK_BYTES), at + 1)
            text = self._files.text(first.offset, _end(raw, after - 1) - first.offset)
            yield from self._matching_in(text, first.offset, raw, range(at, after), search)
            at = after

    def _matching_in(
        self, text: bytes, base: int, raw: bytes, lines: range, search: Search
    ) -> Iterator[int]:
        position, at = 0, lines.start
        while at < lines.stop:
            if self._choice.line_by_line:
                hit = at
            elif (match := search(text, position)) is None:
                return
            else:
                hit = _first_past(raw, at, lines.stop - 1, base + match.start())
            record = _unpack(raw, hit)
            begin = record.offset - base
            # A match in the whole text may owe to a neighbour; the line alone decides.
            if search(text[begin : begin + record.length]):
                yield hit
            position, at = begin + record.length + 1, hit + 1

    def _passes(self, record: tuple[Any, ...]) -> bool:
        if self._all_pass:
            return True
        index = self._query.index
        return record[3] in self._heads and (index is None or record[4] == index)

    def _passing_heads(self) -> frozenset[int]:
        query = self._query
        return frozenset(
            at
            for at, head in enumerate(self._files.heads)
            if (query.stage is None or head.stage == query.stage)
            and (query.attempt is None or head.attempt == query.attempt)
            and _rank(head.level) >= self._choice.min_rank
        )

    def _around(self, hit: int, low: int, high: int) -> Iterator[int]:
        """Yield a hit and the lines around it that would pass but for the expression."""
        context = self._query.context
        floor, ceiling = max(low, hit - NEIGHBOURS_MAX), min(high, hit + NEIGHBOURS_MAX)
        before = (i for i in range(hit - 1, floor - 1, -1) if self._number_passes(i))
        after = (i for i in range(hit + 1, ceiling) if self._number_passes(i))
        yield hit
        yield from islice(before, context)
        yield from islice(after, context)

    def _number_passes(self, number: int) -> bool:
        return self._all_pass or self._passes(self._files.record(number))

    def _line(self, number: int) -> StoredLine:
        record = self._files.record(number)
        text = self._files.text(record.offset, record.length).decode("utf-8", "replace")
        heads = self._files.heads
        head = heads[record.head] if record.head < len(heads) else UNKNOWN
        index = None if record.item < 0 else record.item
        line = LogLine(record.time, head.stream, head.level, text, index, head.logger)
        return StoredLine(number + 1, head.stage, head.attempt, line)

    def _is_cut(self) -> bool:
        count = self._files.count
        return count > 0 and bool(self._files.record(count - 1).flags & CUT)


def _unpack(raw: bytes, at: int) -> Record:
    return Record(*RECORD.unpack_from(raw, at * RECORD.size))


def _end(raw: bytes, at: int) -> int:
    _, offset, length, _, _, _ = RECORD.unpack_from(raw, at * RECORD.size)
    end: int = offset + length + 1
    return end


def _first_past(raw: bytes, low: int, high: int, place: int) -> int:
    """Return the first line in [low, high) that ends past a place in the text, or `high`."""
    while low < high:
        middle = (low + high) // 2
        if _end(raw, middle) > place:
            high = middle
        else:
            low = middle + 1
    return low


def _rank(level: str) -> int:
    """Return a level's rank; words that nobody knows count as info."""
    return LEVELS.get(level.lower(), LEVELS["info"])
