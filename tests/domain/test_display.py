"""What reaches a terminal obeys nobody: every character of Unicode, and the known attacks."""

from __future__ import annotations

import json
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.display import escape_controls, json_text

EVERY = [chr(code) for code in range(sys.maxunicode + 1)]
ATTACKS = {
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x1b\\",
    "title": "\x1b]0;pwned\x07",
    "link": "\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x1b\\",
    "clear": "\x1b[2J",
    "hidden": "\x1b[8mhidden\x1b[0m",
    "report": "\x1b[6n",
    "dcs, apc, pm, sos": "\x1bP1$r\x1b\\ \x1b_x\x1b\\ \x1b^x\x1b\\ \x1bXx\x1b\\",
    "c1": "\x9b2J \x9d52;c;x\x9c \x90x\x9c \x98x\x9c",
    "lone escape at the end": "text\x1b",
    "backspace and return": "safe\b\b\b\bevil\rover",
    "bidi": "user\u202enimda\u202c \u2066x\u2069 \u061c\u200e\u200f",
    "zero width": "pay\u200bpal \u200c\u200d\u2060\ufeff\u00ad",
    "tags": "\U000e0001\U000e0041\U000e007f",
    "fillers": "\u115f\u1160\u3164\uffa0",
    "lines": "one\ntwo\r\nthree\u2028four\u2029five\x85six\x0bseven\x0ceight",
    "surrogate": "\ud800",
    "nul": "a\0b",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_no_control_of_an_attack_is_left(attack: str) -> None:
    shown = escape_controls(attack)
    assert shown.isprintable()
    assert shown != attack


def test_every_control_of_unicode_is_shown_and_every_letter_stays() -> None:
    for char in EVERY:
        category = unicodedata.category(char)
        shown = escape_controls(char)
        if category in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
            assert shown.isascii(), hex(ord(char))
            assert shown.isprintable(), hex(ord(char))
            assert shown.encode().decode("unicode_escape") == char
        elif category[0] in "LNPS" and char not in "\u115f\u1160\u3164\uffa0":
            assert shown == char, hex(ord(char))


def test_the_forms_say_which_character_it_was() -> None:
    assert escape_controls("\x1b[0m") == "\\x1b[0m"
    assert escape_controls("\x9b\u202e\U000e0001") == "\\x9b\\u202e\\U000e0001"
    assert escape_controls("\t\n") == "\\x09\\x0a"


@pytest.mark.parametrize(
    "text", ["", "plain ASCII ~", "Zürich, Łódź", "日本語", "✔ ▶ ▆▅", "e\u0301", "😀"]
)
def test_text_of_people_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


def test_markup_is_text() -> None:
    for text in ("[/red]", "[@click=app.quit]x[/]", "[link=file:///]x[/link]", "{{secret}}"):
        assert escape_controls(text) == text


def test_a_tower_of_marks_is_cut_down() -> None:
    shown = escape_controls("z" + "\u0301" * 10_000 + "a" + "\u0301")
    assert shown.startswith("z" + "\u0301" * 4 + "\\u0301")
    assert shown.endswith("a\u0301")
    assert shown.count("\u0301") == 5


def test_ordinary_text_costs_nearly_nothing() -> None:
    text = "GET /api/v1/runs 200 0.8 ms Zürich " * 30_000
    began = time.perf_counter()
    assert escape_controls(text) is text
    assert time.perf_counter() - began < 0.1


@given(st.text())
def test_what_is_shown_is_printable_whatever_it_was(text: str) -> None:
    shown = escape_controls(text)
    left = [char for char in shown if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
    assert left == []
    assert escape_controls(shown) == shown


def test_json_is_shown_without_harm_and_is_still_the_same_json() -> None:
    value = {
        "a\x9b2J\x7f": ["\x1b[8m\u202e\U000e0041", "käse ✔ 日本", "z" + "\u0301" * 20, 1.5, None]
    }
    for indent in (None, 2):
        text = json_text(value, indent=indent)
        assert json.loads(text) == value
        assert all(escape_controls(line) == line for line in text.split("\n"))
        assert "käse ✔ 日本" in text
