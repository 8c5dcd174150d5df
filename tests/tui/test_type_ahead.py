"""Keys that come faster than the screen follows, and questions that come while another is answered."""

from __future__ import annotations

from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from flowdapt.tui.widgets.dialogs import Confirm, Dialog
from tests.tui.fake import FakeDaemon, a_run, an_event, new_app
from tests.tui.waiting import text_of, until


def at_once(pilot: Pilot[Any], text: str) -> None:
    """Type a text as tmux or an automatic writer does: no key waits for what the one before it did."""
    names = {"/": "slash", ":": "colon", " ": "space", "\r": "enter", "\x1b": "escape"}
    for char in text:
        key = events.Key(names.get(char, char), char)
        key.set_sender(pilot.app)
        pilot.app._driver.send_message(key)


async def listed(pilot: Pilot[Any]) -> None:
    await until(
        pilot, lambda: pilot.app.view and pilot.app.view.table and pilot.app.view.table.rows
    )


@pytest.mark.parametrize("start", ["/", ":"])
async def test_what_is_typed_behind_the_prompts_key_in_one_burst_is_in_the_prompt(
    daemon: FakeDaemon, start: str
) -> None:
    daemon.runs = [a_run(1, "running"), a_run(2)]
    app = new_app(daemon)
    async with app.run_test(size=(100, 24)) as pilot:
        await listed(pilot)
        # Under load: the screen has as much to draw as it ever gets.
        news = (an_event("workflow.workflow_finished", a_run(2), cursor=n) for n in range(1, 500))
        daemon.tell(*news)
        at_once(pilot, f"{start}xDzabc j")
        await until(pilot, lambda: app.view.prompt.value == "xDzabc j")
        assert app.view.table.current.name == "quiet-otter-0001"
        assert not isinstance(app.screen, Dialog)


async def test_a_burst_over_a_screen_that_is_only_about_to_open_is_typed_there(
    daemon: FakeDaemon,
) -> None:
    app = new_app(daemon, "pulse")
    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: app.link.live)
        at_once(pilot, "4/rule")
        await until(pilot, lambda: app.view.view == "triggers" and app.view.prompt.value == "rule")


async def test_a_whole_line_is_typed_in_one_burst_and_what_follows_it_is_no_part_of_it(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(1), a_run(2, "failed")]
    app = new_app(daemon)
    async with app.run_test(size=(100, 24)) as pilot:
        await listed(pilot)
        at_once(pilot, "/state=failed\rxx")
        await until(pilot, lambda: len(app.view.table.rows) == 1)
        assert app.view.heading == "state=failed"
        assert daemon.asked_for("POST", ".*") == []


async def test_a_line_left_in_the_burst_does_nothing_and_the_next_one_is_clean(
    daemon: FakeDaemon,
) -> None:
    daemon.runs = [a_run(1, "running")]
    app = new_app(daemon)
    async with app.run_test(size=(100, 24)) as pilot:
        await listed(pilot)
        at_once(pilot, "/xDx\x1b:read")
        await until(pilot, lambda: app.view.prompt.value == "read")
        assert app.view.prompt.kind == ":"
        assert not isinstance(app.screen, Dialog)


async def test_a_second_question_waits_until_the_first_is_answered(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    answers: list[tuple[str, bool | None]] = []

    async def asking(title: str) -> None:
        answers.append((title, await app.ask(Confirm(title))))

    async with app.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: app.link.live)
        app.view.work(asking("The first?"))
        await until(pilot, lambda: "The first?" in text_of(pilot))
        app.view.work(asking("The second?"))
        await pilot.pause(0.1)
        assert "The second?" not in text_of(pilot)
        await pilot.press("y", "y")
        await until(pilot, lambda: "The second?" in text_of(pilot))
        await pilot.press("n")
        await until(pilot, lambda: len(answers) == 2)
    assert answers == [("The first?", True), ("The second?", None)]


async def test_what_is_asked_already_is_not_asked_twice(daemon: FakeDaemon) -> None:
    app = new_app(daemon)
    answers: list[bool | None] = []

    async def asking() -> None:
        answers.append(await app.ask(Confirm("Stop it?")))

    async with app.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.link.live)
        app.view.work(asking())
        app.view.work(asking())
        await until(pilot, lambda: "asked already" in text_of(pilot))
        await pilot.press("y")
        await until(pilot, lambda: len(answers) == 2)
        assert not isinstance(app.screen, Dialog)
    assert answers == [None, True]


async def test_a_key_pressed_twice_asks_once(daemon: FakeDaemon) -> None:
    daemon.runs = [a_run(1, "running")]
    daemon.on("POST", "/api/v1/runs/[^/]+/cancel", daemon.runs[0])
    app = new_app(daemon)
    async with app.run_test(size=(100, 24)) as pilot:
        await listed(pilot)
        at_once(pilot, "xx")
        await until(pilot, lambda: "Cancel quiet-otter-0001?" in text_of(pilot))
        await pilot.press("y")
        await until(pilot, lambda: len(daemon.asked_for("POST", ".*cancel")) == 1)
        await pilot.pause(0.1)
        assert not isinstance(app.screen, Dialog)
