from __future__ import annotations

import re
import threading

from flowdapt.domain.errors import StartRefused
from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.model.link import LinkState
from tests.tui.fake import NOW, FakeDaemon, a_run, an_event, new_app
from tests.tui.waiting import lines_of, text_of, until


async def test_without_a_daemon_the_first_screen_says_how_to_get_one(daemon: FakeDaemon) -> None:
    daemon.die()
    async with new_app(daemon, "pulse").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "There is no daemon" in text_of(pilot))
        assert "flowdapt up" in text_of(pilot)
        daemon.come_back()
        await until(pilot, lambda: "Nothing is here yet" in text_of(pilot))


async def test_an_empty_store_says_what_to_do_first(daemon: FakeDaemon) -> None:
    async with new_app(daemon, "pulse").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Nothing is here yet" in text_of(pilot))
        assert "flowdapt demo" in text_of(pilot)
        daemon.runs = [a_run(1, "running")]
        daemon.tell(an_event("workflow.workflow_started", daemon.runs[0]))
        await until(pilot, lambda: "train" in text_of(pilot))


async def test_a_daemon_is_started_once_when_there_is_none(daemon: FakeDaemon) -> None:
    daemon.die()
    started = threading.Event()

    def start() -> None:
        started.set()
        daemon.alive = True

    app = FlowdaptApp(lambda: daemon, start=start, now=lambda: NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.link.live)
        assert started.is_set()


async def test_pulse_and_system_tell_how_large_the_database_is(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1)]
    app = new_app(daemon, "pulse")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: re.search(r"store +12\.0 MiB", text_of(pilot)))
        await pilot.press("0")
        await until(pilot, lambda: re.search(r"database .*\n +12\.0 MiB", text_of(pilot)))


async def test_pulse_says_nothing_of_a_daemon_of_which_nothing_is_known(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1)]
    app = new_app(daemon, "pulse")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "version 0.2.0" in text_of(pilot))
        app.link.status = {}
        app.redraw()
        await until(pilot, lambda: "DAEMON" not in text_of(pilot))
        assert "version" not in text_of(pilot)


async def test_a_start_that_fails_is_told_and_may_be_tried_again_by_hand(
    daemon: FakeDaemon,
) -> None:
    daemon.die()
    tries = []

    def start() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StartRefused("the database is newer than this program", fix="upgrade")
        daemon.alive = True

    app = FlowdaptApp(lambda: daemon, start=start, now=lambda: NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.link.state is LinkState.NONE)
        await until(pilot, lambda: "There is no daemon" in text_of(pilot))
        await pilot.press("S")
        await until(pilot, lambda: app.link.live)


async def test_a_daemon_that_dies_and_comes_back_is_found_and_told(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "running")]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "quiet-otter-0001" in text_of(pilot))
        daemon.die()
        await until(pilot, lambda: "reconnecting" in text_of(pilot))
        assert "quiet-otter-0001" in text_of(pilot)
        daemon.runs = [a_run(1)]
        daemon.come_back()
        await until(pilot, lambda: "was restarted" in text_of(pilot))
        await until(pilot, lambda: "finished" in text_of(pilot))


async def test_the_stream_goes_on_behind_the_last_event(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.link.live and daemon._streams)
        daemon.tell(an_event("system.x", cursor=41))
        await until(pilot, lambda: app.feed._last_id == "41")
        daemon.die()
        await until(pilot, lambda: not app.link.live)
        daemon.come_back()
        await until(pilot, lambda: len(daemon.asked_for("GET", "/api/v1/events")) == 2)
        assert ("last-event-id", "41") in daemon.asked_for("GET", "/api/v1/events")[1].headers


async def test_events_that_were_left_out_make_everything_read_again(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(2)]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "quiet-otter-0002" in text_of(pilot))
        daemon.runs = [a_run(1), a_run(2)]
        daemon.tell_gap(300)
        await until(pilot, lambda: "quiet-otter-0001" in text_of(pilot))
        assert app.link.missed == 300


async def test_an_older_daemon_is_told_and_used(daemon: FakeDaemon) -> None:
    daemon.status["version"] = "0.0.9"
    daemon.runs = [a_run(1)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "an older daemon (0.0.9" in text_of(pilot))
        assert "flowdapt down && flowdapt up" in text_of(pilot), "the way out, in 80 columns too"
        await until(pilot, lambda: "quiet-otter-0001" in text_of(pilot))


async def test_many_events_become_few_updates(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(number, "running") for number in range(1, 40)]
    app = new_app(daemon)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.view and app.view.table and app.view.table.rows)
        told = []
        tell = app.feed._tell
        app.feed._tell = lambda news: (told.append(len(news.events)), tell(news))[1]
        daemon.tell(*(an_event("system.tick", cursor=number) for number in range(1, 2001)))
        await until(pilot, lambda: sum(told) == 2000)
        assert len(told) <= 3


async def test_a_screen_that_was_out_of_sight_reads_again_on_coming_back(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(2)]
    async with new_app(daemon).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "quiet-otter-0002" in text_of(pilot))
        await pilot.press("2")
        await until(pilot, lambda: "workflows" in lines_of(pilot)[0])
        daemon.runs = [a_run(1), a_run(2)]
        daemon.tell(an_event("workflow.workflow_finished", a_run(1)))
        await pilot.pause(0.3)
        await pilot.press("3")
        await until(pilot, lambda: "quiet-otter-0001" in text_of(pilot))
