"""The end of the app: what comes while screens are taken down hurts nobody."""

from __future__ import annotations

from flowdapt.tui.model.news import ALL, LINK, News
from flowdapt.tui.screens.pulse import Pulse
from tests.tui.fake import FakeDaemon, a_run, new_app
from tests.tui.waiting import text_of, until


async def test_news_after_the_last_screen_are_let_go(daemon: FakeDaemon) -> None:
    app = new_app(daemon, "pulse")
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.link.live)
    app._tell(News(frozenset({ALL})))
    assert app.faults == []


async def test_a_screen_without_its_parts_is_not_drawn(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "finished")]
    app = new_app(daemon, "pulse")
    async with app.run_test() as pilot:
        await until(pilot, lambda: "finished" in text_of(pilot))
        view = app.view
        assert isinstance(view, Pulse)
        await view.query_one("#rhythms").remove()
        view._draw()
        app.exit()


async def test_a_screen_whose_bars_have_gone_is_told_nothing(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.link.live)
        view = app.view
        await view.query("Header, #runs").remove()
        await app._told(view, News(frozenset({ALL, LINK})))
        view.redraw_bars()
        app.exit()
