from __future__ import annotations

import base64

from flowdapt.tui.clipboard import LONGEST, osc52
from tests.tui.fake import FakeDaemon, a_run, new_app
from tests.tui.waiting import text_of, until


def test_a_terminal_is_asked_to_copy() -> None:
    assert osc52("héllo", {}) == f"\x1b]52;c;{base64.b64encode('héllo'.encode()).decode()}\x07"


def test_tmux_passes_the_request_on() -> None:
    wrapped = osc52("x", {"TMUX": "/tmp/tmux-0/default,1,0"})
    assert wrapped == "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\"
    assert osc52("x", {"TERM": "tmux-256color"}) == wrapped


def test_what_terminals_would_drop_is_not_asked_for() -> None:
    assert osc52("x" * LONGEST, {}) is None


async def test_a_long_text_goes_to_a_file_that_is_named(
    daemon: FakeDaemon, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    app = new_app(daemon)
    async with app.run_test(size=(120, 24), notifications=True) as pilot:
        app.copy("y" * LONGEST)
        await until(pilot, lambda: "too long for the clipboard" in text_of(pilot))
        assert [one.read_text() for one in tmp_path.iterdir()] == ["y" * LONGEST]


async def test_the_id_and_the_document_of_a_run_are_copied(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, input={"x": 1})]
    app = new_app(daemon)
    copied: list[str] = []
    async with app.run_test(size=(120, 24)) as pilot:
        app.copy = copied.append  # type: ignore[method-assign]
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        await pilot.press("y", "Y")
        await until(pilot, lambda: len(copied) == 2)
    assert copied[0] == daemon.runs[0]["uid"]
    assert "input:\n  x: 1\n" in copied[1] or "input: {x: 1}" in copied[1]


async def test_no_color_takes_the_theme_without_colours(daemon: FakeDaemon, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = new_app(daemon)
    async with app.run_test(size=(80, 24)):
        assert app.theme == "mono"
