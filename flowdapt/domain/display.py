"""Decide what text may reach a terminal: nothing that it would obey, hide or reorder.

The one sanitiser of CLI tables, TUI and console logs, and of JSON that people edit and copy. Line ends and tabs count as controls too:
who draws lines splits them first.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable

__all__ = ["escape_controls", "json_text"]

# Latin as far as there are no marks, less the soft hyphen: nearly every text ends here.
_HARMLESS = re.compile(r"[ -~\xa1-\xac\xae-\u02ff]*")
# Letters and unassigned places that nobody sees, without being of a control category.
_HIDING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_COMBINING = frozenset({"Mn", "Me"})
_MARKS_IN_A_ROW = 4
_LATIN_1_END, _BMP_END = 0xFF, 0xFFFF


def escape_controls(text: str) -> str:
    r"""Return the text with each control, bidi or invisible character shown as `\x1b`, `\u202e`."""
    return _shown(text, _escaped)


def json_text(value: object, *, indent: int | None = None) -> str:
    r"""Return JSON with letters as they are and whatever else is unsafe as `\u202e`, so still JSON.

    What JSON has no word for stands as its text.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return "\n".join(_shown(line, _escaped_in_json) for line in text.split("\n"))


def _shown(text: str, escaped: Callable[[str], str]) -> str:
    if _HARMLESS.fullmatch(text):
        return text
    shown: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        marks = marks + 1 if category in _COMBINING else 0
        unsafe = category in _UNSAFE_CATEGORIES or marks > _MARKS_IN_A_ROW or _HIDING.match(char)
        shown.append(escaped(char) if unsafe else char)
    return "".join(shown)


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= _LATIN_1_END:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _BMP_END else f"\\U{code:08x}"


def _escaped_in_json(char: str) -> str:
    return json.dumps(char, ensure_ascii=True)[1:-1] if char != "\x7f" else "\\u007f"
