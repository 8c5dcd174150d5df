"""The pictures of the pages: each is there, is shown somewhere, and asks nobody for anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, pages

PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
_SHOWN = re.compile(r"!\[(?P<words>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def shown() -> list[tuple[Path, str, Path]]:
    return [
        (page, found["words"], (page.parent / found["target"]).resolve())
        for page in pages()
        for found in _SHOWN.finditer(page.read_text(encoding="utf-8"))
    ]


def test_every_picture_that_a_page_shows_is_there_and_told_in_words() -> None:
    missing = [(page.name, target) for page, _, target in shown() if not target.exists()]
    assert missing == []
    assert [page.name for page, words, _ in shown() if not words] == []


def test_every_picture_is_shown_by_a_page() -> None:
    assert {path.resolve() for path in PICTURES} == {target for _, _, target in shown()}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_has_no_font_script_or_file_of_another_server(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert not re.search(r"<script|@font-face|@import|href=|<image", text)
    assert "\x1b" not in text
