"""Decide what of a secret may be seen: nothing, in text or in bytes, also cut across two chunks.

The value and its base64 forms are replaced. What a stage computes from a secret cannot be known.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MASK", "NOTHING", "Masker", "StreamMasker", "masker_of"]

MASK = "***"
# Shorter values occur by chance everywhere; masking them would tell more than it hides.
_SHORTEST = 4


class Masker:
    """Replaces the given values, and their base64 forms, in whole texts."""

    def __init__(self, values: Iterable[str]) -> None:
        forms: set[bytes] = set()
        for value in values:
            if len(value) >= _SHORTEST:
                forms |= _forms(value.encode("utf-8", "surrogateescape"))
        # Longest first: a secret may contain another one.
        self.forms = sorted(forms, key=lambda form: (-len(form), form))
        joined = b"|".join(re.escape(form) for form in self.forms)
        self._bytes = re.compile(joined) if joined else None
        self._text = re.compile(joined.decode("utf-8", "surrogateescape")) if joined else None

    def __bool__(self) -> bool:
        return self._bytes is not None

    def text(self, text: str) -> str:
        """Return the text without the secrets."""
        return text if self._text is None else self._text.sub(MASK, text)

    def start_of_match(self, data: bytes, place: int) -> int:
        """Return where the secret begins that a cut at `place` would halve, else `place`."""
        if self._bytes is None or place == len(data):
            return place
        for found in self._bytes.finditer(data):
            if found.start() < place < found.end():
                return found.start()
        return place

    def bytes(self, data: bytes) -> bytes:
        """Return the bytes without the secrets."""
        return data if self._bytes is None else self._bytes.sub(MASK.encode(), data)


NOTHING = Masker(())


def masker_of(secrets: Mapping[str, str]) -> Masker:
    """Return a masker for the values; most tasks have none."""
    return Masker(secrets.values()) if secrets else NOTHING


class StreamMasker:
    """Masks a stream in chunks: what may be the beginning of a secret waits for the next chunk."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what may be shown now."""
        data = self._held + chunk
        cut = self._masker.start_of_match(data, len(data) - self._open_tail(data))
        self._held = data[cut:]
        return self._masker.bytes(data[:cut])

    def flush(self) -> bytes:
        """Return what was held back; the stream ends here."""
        held, self._held = self._held, b""
        return self._masker.bytes(held)

    def _open_tail(self, data: bytes) -> int:
        """Return the length of the longest end of `data` that begins a secret and is not whole."""
        longest = 0
        for form in self._masker.forms:
            for length in range(min(len(form) - 1, len(data)), longest, -1):
                if data.endswith(form[:length]):
                    longest = length
                    break
        return longest


def _forms(value: bytes) -> set[bytes]:
    """Return the value and what its base64 looks like at each of the three alignments."""
    forms = {value}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + value)
        # The first and last characters mix with the neighbours: only the middle is sure.
        start = (0, 2, 3)[shift]
        spare = (shift + len(value)) % 3
        stop = len(coded) - ((0, 3, 2)[spare])
        middle = coded[start:stop]
        if len(middle) >= _SHORTEST:
            forms |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms
