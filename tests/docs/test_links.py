"""Every relative link leads somewhere, and every page can be reached."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, anchors, links, pages


def test_every_link_leads_to_a_file() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target, _ in links(page)
        if not target.exists()
    ]
    assert broken == []


def test_every_anchor_stands_on_its_page() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target.name}#{anchor}"
        for page in pages()
        for target, anchor in links(page)
        if anchor and target.suffix == ".md" and anchor not in anchors(target)
    ]
    assert broken == []


def test_every_page_of_the_site_is_in_its_navigation() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = {ROOT / "docs" / path for path in re.findall(r"[\w./-]+\.md", site)}
    index = ROOT / "docs" / "explanation" / "decisions" / "index.md"
    reached = named | {target for target, _ in links(index)}
    assert {page for page in pages() if page.is_relative_to(ROOT / "docs")} == reached


def test_a_decision_fits_on_a_page() -> None:
    decisions = (ROOT / "docs" / "explanation" / "decisions").glob("0*.md")
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in decisions}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > 40} == {}


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(p.name for p in (ROOT / "docs/explanation/decisions").glob("0*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
