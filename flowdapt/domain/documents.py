"""Decide how a text (YAML or JSON, one document or many) becomes documents whose places are known.

What the documents mean is `validation.py`'s; no file is opened here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any, Literal

from flowdapt.domain.errors import InvalidInput, Problem, TooLarge
from flowdapt.domain.json_reading import places_in_json, read_json
from flowdapt.domain.positions import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_TEXT_BYTES,
    Lines,
    Loc,
    Mark,
    Place,
    TextProblem,
)
from flowdapt.domain.yaml_reading import read_yaml

__all__ = ["MAX_DOCUMENTS", "Document", "Form", "documents_of", "read", "read_value"]

Form = Literal["yaml", "json"]
MAX_DOCUMENTS = 1000
# Wherever it stands, within a quoted text too, it ends a document.
_DOCUMENT_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)
# What YAML calls printable, less what only other encodings and terminals use.
_UNREADABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True)
class Document:
    """One document: a plain value, and where in which source its parts stand."""

    value: Any
    source: str | None = None
    find_places: Callable[[], Place] | None = None
    prefix: Loc = ()

    @cached_property
    def _places(self) -> Place | None:
        return self.find_places() if self.find_places is not None else None

    def mark(self, loc: Loc, *, key: bool = False) -> Mark | None:
        """Return line and column of the value at `loc`, or of its key; None without a text."""
        return None if self._places is None else self._places.find((*self.prefix, *loc), key=key)

    def problem(
        self,
        code: str,
        message: str,
        loc: Loc = (),
        *,
        key: bool = False,
        suggestion: str | None = None,
        fix: str | None = None,
    ) -> Problem:
        """Return a problem of this document at its place."""
        line, column = self.mark(loc, key=key) or (None, None)
        return Problem(code, message, loc, suggestion, fix, self.source, line, column)


def read(
    text: str | bytes, *, source: str | None = None, form: Form | None = None
) -> tuple[list[Document], list[Problem]]:
    """Return every document of a text, and what keeps the rest from being read.

    Without a form, text that begins with a bracket and is JSON is read as JSON, everything else as
    YAML. A list of documents, and `{items: [...]}` as `get -o json` prints it, count as several.
    Raise TooLarge over 1 MiB.
    """
    _refuse_size(text)
    documents: list[Document] = []
    try:
        for value, find_places in _values(_decoded(text), form):
            documents += _bounded(_split(value, source, find_places))
    except TextProblem as error:
        line, column = error.mark
        problem = Problem(
            error.code, error.message, fix=error.fix, source=source, line=line, column=column
        )
        return documents, [problem]
    return documents, []


def read_value(text: bytes, source: str) -> Any:
    """Return the one value of a text as it stands, None when there is not one; raise InvalidInput.

    What a document may hold, a run's input may: `items` mean nothing here.
    """
    _refuse_size(text)
    try:
        values = [value for value, _ in islice(_values(_decoded(text), None), 2)]
    except TextProblem as error:
        line, column = error.mark
        problem = Problem(
            error.code, error.message, fix=error.fix, source=source, line=line, column=column
        )
        raise InvalidInput(
            f"{source} cannot be read", code=error.code, fix=error.fix, problems=(problem,)
        ) from None
    return values[0] if len(values) == 1 else None


def documents_of(values: Iterable[Any]) -> tuple[list[Document], list[Problem]]:
    """Return documents of values that were never a text; refuse what JSON cannot hold."""
    documents = [document for value in values for document in _split(value, None, None)]
    problems = [
        document.problem("document.bad_value", message, loc)
        for document in documents
        for loc, message in _not_json(document.value, ())
    ]
    return documents, problems


def _values(text: str, form: Form | None) -> Iterator[tuple[Any, Callable[[], Place]]]:
    if form == "json" or (form is None and text.lstrip()[:1] in ("{", "[")):
        try:
            value = read_json(text)
        except TextProblem as error:
            # Flow style YAML begins with a bracket as well.
            if form == "json" or error.code != "document.syntax":
                raise
        else:
            yield value, lambda: places_in_json(text)
            return
    _refuse_number(text)
    for count, (value, place) in enumerate(read_yaml(text)):
        if count >= MAX_DOCUMENTS:
            raise _too_many(place.mark)
        if value is not None:
            yield value, partial(_same, place)


def _refuse_number(text: str) -> None:
    """Count the marks between documents first: reading a thousand of them costs a while."""
    beyond = next(islice(_DOCUMENT_START.finditer(text), MAX_DOCUMENTS, None), None)
    if beyond is not None:
        raise _too_many(Lines(text).mark(beyond.start()))


def _too_many(mark: Mark) -> TextProblem:
    return TextProblem(
        "document.too_many",
        f"more than {MAX_DOCUMENTS} documents in one text",
        mark,
        fix="apply them in parts",
    )


def _same(place: Place) -> Place:
    return place


def _split(value: Any, source: str | None, find: Callable[[], Place] | None) -> Iterator[Document]:
    prefix: Loc = ()
    items = value
    if isinstance(value, dict) and "items" in value and "kind" not in value:
        prefix, items = ("items",), value["items"]
    if isinstance(items, list | tuple):
        for index, item in enumerate(items):
            yield Document(item, source, find, (*prefix, index))
    else:
        yield Document(value, source, find)


def _bounded(documents: Iterator[Document]) -> list[Document]:
    several = list(islice(documents, MAX_DOCUMENTS + 1))
    if len(several) > MAX_DOCUMENTS:
        raise _too_many((1, 1))
    return several


def _refuse_size(text: str | bytes) -> None:
    size = (
        len(text)
        if isinstance(text, bytes) or len(text) > MAX_TEXT_BYTES
        else len(text.encode("utf-8", "surrogatepass"))
    )
    if size > MAX_TEXT_BYTES:
        raise TooLarge(
            f"the document has {size} bytes; the limit is {MAX_TEXT_BYTES}",
            fix="split it into several files; large values belong into artifacts",
            code="document.too_large",
        )


def _decoded(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = _decoded_bytes(text)
    if text.startswith("\ufeff"):
        raise TextProblem(
            "document.encoding",
            "the text begins with a byte order mark",
            (1, 1),
            fix="save it as UTF-8 without a byte order mark",
        )
    bad = _UNREADABLE.search(text)
    if bad is not None:
        raise TextProblem(
            "document.bad_character",
            f"the character U+{ord(bad[0]):04X} may not stand in a document",
            Lines(text).mark(bad.start()),
            fix="remove it, or write it as an escape in double quotes",
        )
    return text.replace("\r\n", "\n")


def _decoded_bytes(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        raise TextProblem(
            "document.encoding",
            f"the text is not UTF-8 (byte {data[error.start]:#04x})",
            Lines(before).mark(len(before)),
            fix="save it as UTF-8 without a byte order mark",
        ) from None


def _not_json(value: Any, loc: Loc) -> Iterator[tuple[Loc, str]]:
    """Yield what a value holds that no document can."""
    if len(loc) > MAX_DEPTH:
        yield loc, f"nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, dict):
        for key, below in value.items():
            if isinstance(key, str):
                yield from _not_json(key, (*loc, key))
                yield from _not_json(below, (*loc, key))
            else:
                yield loc, f"the key {str(key)[:40]} is not a text"
    elif isinstance(value, list | tuple):
        for index, below in enumerate(value):
            yield from _not_json(below, (*loc, index))
    elif (message := _bad_scalar(value)) is not None:
        yield loc, message


def _bad_scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return (
            "a text holds a NUL or a lone surrogate"
            if re.search("[\0\ud800-\udfff]", value)
            else None
        )
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{value} is not a number that can be stored"
    if isinstance(value, int):
        return (
            None if abs(value) < 10**MAX_DIGITS else f"a number has more than {MAX_DIGITS} digits"
        )
    return None if value is None else f"a {type(value).__name__} cannot be stored as JSON"
