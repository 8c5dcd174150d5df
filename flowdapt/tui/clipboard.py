"""Decide how a text reaches the clipboard of whoever sits at the terminal: OSC 52, through tmux, or a file."""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.domain.display import escape_controls

if TYPE_CHECKING:
    from textual.app import App

__all__ = ["Clipboard", "osc52"]

# Terminals drop longer ones without a word.
LONGEST = 74_000


def osc52(text: str, environ: Mapping[str, str]) -> str | None:
    """Return what asks a terminal to copy; None when the text is too long for it."""
    encoded = base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()
    if len(encoded) > LONGEST:
        return None
    sequence = f"\x1b]52;c;{encoded}\x07"
    if environ.get("TMUX") or environ.get("TERM", "").startswith(("screen", "tmux")):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return sequence


class Clipboard:
    """Copies, and says in words where the text went."""

    def __init__(self, app: App[None]) -> None:
        self._app = app

    def put(self, text: str) -> str:
        # As it was drawn: what is pasted into a shell must not be obeyed there either.
        text = "\n".join(escape_controls(one.expandtabs(4)) for one in text.split("\n"))
        sequence = osc52(text, os.environ)
        driver = self._app._driver  # noqa: SLF001 - Textual's own copying knows neither tmux nor a limit
        if sequence is None or driver is None:
            return f"too long for the clipboard: it lies in {_file(text)}"
        driver.write(sequence)
        first = text.splitlines()[0] if text else ""
        return f"copied {first}" if "\n" not in text else f"copied {text.count(chr(10)) + 1} lines"


def _file(text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix="flowdapt-copy-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    return Path(name)
