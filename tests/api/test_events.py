"""Events over REST: pages of the journal, chosen, and events that clients add."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from flowdapt.domain.events import EventDraft
from flowdapt.ports.broker import EVENT_ADDED
from tests.api.backends import Api

pytestmark = pytest.mark.trio

MINE = {"type": "org.example.x", "data": {"n": 1}}


async def post(api: Api, body: Any, content_type: str = "application/json") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await api.client.post(
        "/api/v1/events", content=content, headers={"content-type": content_type}
    )


async def read(api: Api, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await api.client.get(f"/api/v1/events?{query}")).json()["items"]
    return items


@pytest.mark.parametrize("content_type", ["application/json", "application/cloudevents+json"])
async def test_an_event_is_stored_and_answered_as_it_is(api: Api, content_type: str) -> None:
    answer = await post(api, MINE | {"subject": "s", "source": "lab/7"}, content_type)
    event = answer.json()
    assert answer.status_code == 201
    assert (event["type"], event["data"], event["subject"]) == ("org.example.x", {"n": 1}, "s")
    assert (event["source"], event["run"], event["causation_depth"]) == ("lab/7", None, 0)
    assert await read(api) == [event]


async def test_the_same_id_is_the_same_event(api: Api) -> None:
    first = await post(api, MINE | {"id": "one"})
    await post(api, MINE)
    again = await post(api, MINE | {"id": "one", "data": "other"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert len(await read(api)) == 2


async def test_an_event_that_is_posted_wakes_who_waits(api: Api) -> None:
    async with api.backend.broker.subscribe(EVENT_ADDED) as hints:
        await post(api, MINE)
        assert (await anext(hints)).key == "org.example.x"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (MINE | {"type": "com.event.workflow.workflow_finished"}, 422, "event.reserved_type"),
        (MINE | {"type": "com.event.executor.x"}, 422, "event.reserved_type"),
        (MINE | {"type": "two words"}, 422, "request.invalid"),
        (MINE | {"type": 3}, 422, "request.invalid"),
        ({"data": 1}, 422, "request.invalid"),
        (MINE | {"specversion": "0.3"}, 422, "request.invalid"),
        (MINE | {"id": ""}, 422, "request.invalid"),
        (MINE | {"id": "a b"}, 422, "request.invalid"),
        (MINE | {"subject": "a\x1b"}, 422, "request.invalid"),
        (MINE | {"causationdepth": -1}, 422, "request.invalid"),
        (MINE | {"datacontenttype": "text/xml"}, 422, "request.invalid"),
        (MINE | {"data_base64": "AA=="}, 422, "request.invalid"),
        (MINE | {"data": "x" * 70_000}, 413, "event.too_large"),
        (MINE | {"data": "ü" * 33_000}, 413, "event.too_large"),
        (b"[]", 422, "request.invalid"),
        (b"", 400, "document.syntax"),
        (b"{", 400, "document.syntax"),
        (b'{"type": "a", "data": NaN}', 422, "document.not_finite"),
        (b'{"type": "a", "type": "b"}', 422, "document.duplicate_key"),
        (b"[" * 100_000, 422, "document.too_deep"),
        (b'{"type": "a", "data": "\\ud800"}', 422, "document.bad_character"),
        (b'{"type": "a", "data": "\\u0000"}', 422, "document.bad_character"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bad_event_is_refused_with_a_way_out(
    api: Api, body: Any, status: int, code: str
) -> None:
    answer = await post(api, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert problem["fix"]
    assert await read(api) == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/cloudevents-batch+json", ""])
async def test_other_content_types_are_not_read(api: Api, content_type: str) -> None:
    assert (await post(api, MINE, content_type)).status_code == 415


async def happened(api: Api) -> None:
    for kind, subject in (("a.b", "x/1"), ("a.c", "x/2"), ("b", "y/1")):
        await api.backend.store.add_event(EventDraft(kind, subject, "1"))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=a.*", ["a.b", "a.c"]),
        ("type=a.b&type=b", ["a.b", "b"]),
        ("subject=x/", ["a.b", "a.c"]),
        ("tail=true&limit=2", ["a.c", "b"]),
        ("tail=true&limit=1&type=a.*", ["a.c"]),
        ("since=2100-01-01T00:00:00Z", []),
        ("workflow=none", []),
    ],
)
async def test_a_page_holds_what_was_chosen(api: Api, query: str, found: list[str]) -> None:
    await happened(api)
    assert [event["type"] for event in await read(api, query)] == found


async def test_a_page_of_the_newest_tells_where_the_journal_ended(api: Api) -> None:
    await happened(api)
    page = (await api.client.get("/api/v1/events?tail=true&type=a.b")).json()
    assert (page["items"][0]["cursor"], page["newest"], page["next"]) == (1, 3, None)


@pytest.mark.parametrize(
    "query",
    [
        "type=a%20b", "type=", "type=****", f"type={'a' * 201}", "since=1", "subject=" + "s" * 257,
        "&".join(["type=a"] * 21),
    ],
    ids=lambda query: query[:20],
)  # fmt: skip
async def test_what_cannot_be_chosen_by_is_refused(api: Api, query: str) -> None:
    assert (await api.client.get(f"/api/v1/events?{query}")).status_code == 422


async def test_events_of_a_workflow_are_those_of_its_runs(api: Api) -> None:
    await api.apply()
    await api.apply("other")
    run = await api.run()
    await api.run("other")
    events = await read(api, "workflow=flow")
    assert {event["run"] for event in events} == {run["uid"]}
    assert events == await read(api, f"run={run['name']}")
