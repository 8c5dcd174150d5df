"""What is shipped of others is what its authors published, and the page asks nobody else for anything."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import flowdapt.tui.web

STATIC = Path(flowdapt.tui.web.__path__[0]) / "static"
VENDOR = STATIC / "vendor"
ROWS = re.findall(
    r"^\| (\S+) \| (\S+) \| ([\d.]+) \| ([0-9a-f]{64}) \|$",
    (VENDOR / "README.md").read_text(),
    re.MULTILINE,
)


def test_each_file_of_others_is_the_one_that_its_version_published() -> None:
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    del sums["README.md"], sums["LICENSE"]
    assert sums == {name: digest for name, _, _, digest in ROWS}


def test_their_licence_comes_along() -> None:
    licence = (VENDOR / "LICENSE").read_text()
    assert "The xterm.js authors" in licence
    assert "Permission is hereby granted, free of charge" in licence
    for name in ("xterm.mjs", "addon-fit.mjs", "addon-unicode11.mjs"):
        assert "MIT" in (VENDOR / name).read_text()[:1000]


def test_the_page_names_no_other_server() -> None:
    elsewhere = re.compile(
        r"""(?:src|href)=["'](?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import"""
    )
    for path in [*STATIC.glob("*.*"), VENDOR / "xterm.css"]:
        assert not elsewhere.search(path.read_text()), path.name


def test_the_page_has_no_script_or_style_of_its_own_in_the_text() -> None:
    text = (STATIC / "page.html").read_text()
    assert not re.search(r"<style|\son\w+=|\sstyle=|javascript:", text)
    assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""]
