"""`client.events`: listed, followed over broken connections, posted once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.client import AsyncClient, Client
from flowdapt.domain import errors
from tests.client.fake_daemon import FakeDaemon, answer, hang_up, problem, stream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client(fake: FakeDaemon) -> Iterator[Client]:
    with Client() as made:
        yield made


def event(number: int) -> dict[str, Any]:
    return {"cursor": number, "id": str(number), "type": "a.b", "subject": "s"}


def test_the_newest_events_are_listed_unless_a_cursor_is_given(
    client: Client, fake: FakeDaemon
) -> None:
    fake.on("GET", "/events", lambda _: answer({"items": [event(1)], "next": None}))
    assert client.events.list(types=["a.*"], limit=3) == [event(1)]
    assert fake.asked[-1].query == {"type": ["a.*"], "tail": ["true"], "limit": ["3"]}
    client.events.list(after=0, workflow="w", subject="run/")
    assert fake.asked[-1].query == {
        "workflow": ["w"], "subject": ["run/"], "after": ["0"], "limit": ["50"],
    }  # fmt: skip


def test_following_goes_on_over_a_broken_connection_and_tells_gaps(
    client: Client, fake: FakeDaemon
) -> None:
    gap = {"reason": "too slow", "from": 2, "to": 9, "missed": 7}
    fake.on(
        "GET", "/events",
        lambda _: stream(("a.b", event(1)), ("a.b", event(2)), cut=True),
        lambda _: stream(("gap", gap), ("a.b", event(10)), first_id=9),
    )  # fmt: skip
    gaps: list[dict[str, Any]] = []
    told = client.events.follow(run="r", after=0, on_gap=gaps.append)
    assert [next(told)["cursor"] for _ in range(3)] == [1, 2, 10]
    assert gaps == [gap]
    assert [asked.headers.get("last-event-id") for asked in fake.asked] == [None, "2"]


def test_an_event_whose_answer_was_lost_is_sent_again_as_the_same(
    client: Client, fake: FakeDaemon
) -> None:
    fake.on("POST", "/events", hang_up(), answer(event(3)))
    assert client.events.post("org.example.x", {"n": 1}, subject="s") == event(3)
    first, again = (asked.json() for asked in fake.asked)
    assert first == again
    assert (first["type"], first["data"], first["subject"]) == ("org.example.x", {"n": 1}, "s")


def test_the_callers_id_is_kept(client: Client, fake: FakeDaemon) -> None:
    fake.on("POST", "/events", answer(event(3), 201))
    client.events.post("org.example.x", id="mine", source="lab", correlation_id="c")
    sent = fake.asked[-1].json()
    assert (sent["id"], sent["source"], sent["correlationid"]) == ("mine", "lab", "c")
    assert sent["data"] is None


def test_a_refused_event_raises(client: Client, fake: FakeDaemon) -> None:
    fake.on("POST", "/events", problem(422, "event.reserved_type"))
    with pytest.raises(errors.InvalidInput):
        client.events.post("com.event.workflow.x")


def test_the_async_client_lists_follows_and_posts(fake: FakeDaemon) -> None:
    fake.on("POST", "/events", hang_up(), answer(event(1), 201))
    fake.on("GET", "/events", answer({"items": [event(1)]}), lambda _: stream(("a.b", event(2))))

    async def work() -> list[Any]:
        async with AsyncClient() as client:
            posted = await client.events.post("org.example.x")
            listed = await client.events.list()
            async with aclosing(client.events.follow()) as told:
                followed = await anext(told)
            return [posted, *listed, followed]

    # httpx leaves generators of a stream that is not read to its end to the loop; trio warns of that.
    assert asyncio.run(work()) == [event(1), event(1), event(2)]
