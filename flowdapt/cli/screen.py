"""Decide what reaches the terminal: data to stdout, everything else to stderr, all of it escaped.

Colour only on a terminal that wants it (NO_COLOR, --no-color, TERM=dumb); width from the terminal.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from flowdapt.domain.display import escape_controls

__all__ = ["Screen", "paint"]

# Okabe-Ito hues as near as sixteen colours come: never red against green alone, always with a word.
_STYLES = {
    "bold": "1", "dim": "2", "good": "34", "bad": "1;31", "warn": "33", "busy": "36",
    "head": "1", "name": "1",
}  # fmt: skip


def paint(text: str, style: str | None) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and text else text


@dataclass(slots=True)
class Screen:
    """Where a command writes. `wide` asks for all columns, however long the lines get."""

    out: TextIO
    err: TextIO
    color_out: bool = False
    color_err: bool = False
    quiet: bool = False
    width: int | None = None
    # Set while something is drawn in place: lines to stderr go above it.
    above: Callable[[str], None] | None = None

    @classmethod
    def of_this_process(cls, *, no_color: bool = False, quiet: bool = False) -> Screen:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors=_PLAINER)
        plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return cls(
            sys.stdout,
            sys.stderr,
            color_out=not plain and sys.stdout.isatty(),
            color_err=not plain and sys.stderr.isatty(),
            quiet=quiet,
            width=_width(),
        )

    @property
    def live(self) -> bool:
        """Say whether progress may be drawn in place."""
        return self.err.isatty() and not self.quiet and os.environ.get("TERM") != "dumb"

    def data(self, text: str = "") -> None:
        """Write a line of data, escaped."""
        self.out.write(escape_controls(text) + "\n")

    def styled(self, *parts: tuple[str, str | None]) -> None:
        """Write a line of data whose parts have styles; each part is escaped."""
        self.out.write(self._join(parts, self.color_out) + "\n")

    def ready(self, text: str) -> None:
        """Write a text that is safe as it is (JSON, YAML) and ends its own lines."""
        self.out.write(text)

    def note(self, text: str = "", style: str | None = None) -> None:
        """Tell the person something that is no data."""
        if not self.quiet:
            self.complain((text, style))

    def told(self, *parts: tuple[str, str | None]) -> None:
        """Tell the person something whose parts have styles."""
        if not self.quiet:
            self.complain(*parts)

    def complain(self, *parts: tuple[str, str | None]) -> None:
        """Write a line to stderr even when quiet."""
        line = self._join(parts, self.color_err)
        if self.above is not None:
            self.above(line)
            return
        self.err.write(line + "\n")
        self.err.flush()

    def ask(self, question: str) -> None:
        """Write a question and stay on its line."""
        self.out.flush()
        self.err.write(escape_controls(question))
        self.err.flush()

    def flush(self) -> None:
        self.out.flush()

    def _join(self, parts: tuple[tuple[str, str | None], ...], color: bool) -> str:
        safe = ((escape_controls(text), style) for text, style in parts)
        return "".join(paint(text, style) if color else text for text, style in safe)


# Each takes one column, as what it stands for.
_PLAIN = str.maketrans("✔▶✖◌·▣■\N{MINUS SIGN}↻◐▲…≈°█▇▆▅▄▃▂▁", "+>xo.##-~%!~~'@#*+=-._")
_PLAINER = "flowdapt.plainer"


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """Write what the terminal's encoding cannot show as near as ASCII comes, else escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(_PLAINER, _plainer)


def _width() -> int | None:
    """Return the columns of the terminal, or None when the output is no terminal."""
    import shutil

    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return None
    return shutil.get_terminal_size((80, 24)).columns
