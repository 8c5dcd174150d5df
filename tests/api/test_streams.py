"""Live streams: runs, logs and the journal as server-sent events, resumed, kept alive, never in the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from flowdapt.api.backend import ApiLimits
from flowdapt.domain.events import EventDraft
from flowdapt.domain.task import Finished, LogLine, Outcome, TaskCall
from flowdapt.ports.broker import EVENT_ADDED, LOG_LINES, Message
from flowdapt.ports.executor import Emit
from flowdapt.testing import json_value
from tests.api.backends import Api, connected, running_api

pytestmark = pytest.mark.trio


class Reader:
    """Reads events of one stream as they come."""

    def __init__(self, link: trio.SocketStream) -> None:
        self._link = link
        self._rest = b""

    async def _until(self, mark: bytes) -> bytes:
        with trio.fail_after(10):
            while mark not in self._rest:
                piece = await self._link.receive_some()
                if not piece:
                    raise EOFError(self._rest)
                self._rest += piece
        found, _, self._rest = self._rest.partition(mark)
        return found

    async def head(self) -> bytes:
        return await self._until(b"\r\n\r\n")

    async def event(self) -> dict[str, Any]:
        """Return the next event; comments count as events named `comment`."""
        while True:
            block = await self._until(b"\n\n")
            lines = [line.decode() for line in block.replace(b"\r", b"").split(b"\n")]
            fields = dict(line.split(": ", 1) for line in lines if ": " in line)
            if "data" in fields:
                return {**fields, "data": json.loads(fields["data"])}
            if ": keep-alive" in lines:
                return {"event": "comment"}


@asynccontextmanager
async def stream(api: Api, path: str, **headers: str) -> AsyncIterator[Reader]:
    async with await connected(api) as link:
        sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await link.send_all(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n{sent}\r\n".encode()
        )
        reader = Reader(link)
        head = await reader.head()
        assert b"200" in head.split(b"\r\n")[0], head
        assert b"text/event-stream" in head
        yield reader


class Gate:
    """A stage that waits until the test opens it."""

    def __init__(self) -> None:
        self.open = trio.Event()

    async def __call__(self, _call: TaskCall, emit: Emit) -> Outcome:
        emit(LogLine(1.0, "stdout", "info", "first words"))
        await self.open.wait()
        return Finished(json_value("done"))


async def started(api: Api) -> tuple[str, Gate]:
    await api.apply()
    gate = Gate()
    api.executor.bodies["some.module.stage"] = gate
    answer = await api.client.post("/api/v1/workflows/flow/runs")
    return answer.json()["uid"], gate


@pytest.mark.parametrize("suffix", ["", "/watch"])
async def test_a_run_is_followed_to_its_end(served: Api, suffix: str) -> None:
    uid, gate = await started(served)
    async with stream(served, f"/api/v1/runs/{uid}{suffix}") as reader:
        first = await reader.event()
        assert (first["event"], first["data"]["uid"]) == ("run", uid)
        gate.open.set()
        event = first
        while event["data"]["state"] != "finished":
            event = await reader.event()
        assert event["data"]["result"] == "done"


async def test_a_silent_stream_is_kept_alive() -> None:
    async with (
        running_api(listen=True, limits=ApiLimits(keep_alive_s=0.05)) as api,
        stream(api, "/api/v1/events") as reader,
    ):
        assert (await reader.event())["event"] == "comment"


async def test_log_lines_come_live_and_the_stream_ends_with_the_run(served: Api) -> None:
    uid, gate = await started(served)
    async with stream(served, f"/api/v1/runs/{uid}/logs") as reader:
        assert (await reader.event())["data"]["text"] == "first words"
        served.logs.append(uid, "only", 1, [LogLine(2.0, "log", "warning", "more")])
        served.backend.broker.publish(Message(LOG_LINES, uid))
        more = await reader.event()
        assert (more["event"], more["data"]["text"], more["data"]["level"]) == (
            "log", "more", "warning",
        )  # fmt: skip
        gate.open.set()
        assert (await reader.event())["event"] == "end"


async def test_a_log_stream_goes_on_where_it_broke(served: Api) -> None:
    uid, gate = await started(served)
    lines = [LogLine(float(n), "log", "info", f"line {n}") for n in range(5)]
    async with stream(served, f"/api/v1/runs/{uid}/logs") as reader:
        await reader.event()
        served.logs.append(uid, "only", 1, lines)
        served.backend.broker.publish(Message(LOG_LINES, uid))
        last = [await reader.event() for _ in range(2)][-1]
    async with stream(served, f"/api/v1/runs/{uid}/logs", **{"Last-Event-ID": last["id"]}) as again:
        assert (await again.event())["data"]["text"] == "line 2"
        gate.open.set()


async def test_log_pages_are_json(served: Api) -> None:
    uid, gate = await started(served)
    gate.open.set()
    await served.client.get(f"/api/v1/runs/{uid}", headers={"Prefer": "wait=5"})
    page = (await served.client.get(f"/api/v1/runs/{uid}/logs?tail=true&limit=5")).json()
    assert page["items"][0]["text"] == "first words"
    assert page["next_after"] == 1
    assert (await served.client.get("/api/v1/runs/nothing-1/logs")).status_code == 404


async def add(api: Api, kind: str, number: int) -> None:
    await api.backend.store.add_event(EventDraft(kind, "test", json.dumps({"n": number})))
    api.backend.broker.publish(Message(EVENT_ADDED, kind))


async def test_the_journal_is_followed_from_now_on(served: Api) -> None:
    for number in range(20):
        await add(served, "old", number)
    async with stream(served, "/api/v1/events") as reader:
        await add(served, "new", 1)
        event = await reader.event()
        assert (event["event"], event["data"]["data"]) == ("new", {"n": 1})


async def test_the_journal_is_resumed_after_the_last_id(served: Api) -> None:
    async with stream(served, "/api/v1/events?after=0&type=a") as reader:
        await add(served, "a", 1)
        await add(served, "b", 2)
        await add(served, "a", 3)
        first = await reader.event()
        assert (await reader.event())["data"]["data"] == {"n": 3}
    async with stream(served, "/api/v1/events", **{"Last-Event-ID": first["id"]}) as again:
        assert [(await again.event())["data"]["data"]["n"] for _ in range(2)] == [2, 3]


@pytest.mark.parametrize("last_id", ["another-3", "nonsense", "-", "0"])
async def test_an_id_of_another_journal_is_told_as_a_gap(served: Api, last_id: str) -> None:
    await add(served, "a", 1)
    async with stream(served, "/api/v1/events", **{"Last-Event-ID": last_id}) as reader:
        assert (await reader.event())["event"] == "gap"
        assert (await reader.event())["data"]["data"] == {"n": 1}


async def test_a_stream_is_chosen_by_type_run_and_subject(served: Api) -> None:
    async with stream(served, "/api/v1/events?type=a.*&subject=te") as reader:
        for number, kind in enumerate(("b", "a.b", "ab", "a.c")):
            await add(served, kind, number)
        assert [(await reader.event())["event"] for _ in range(2)] == ["a.b", "a.c"]


async def test_a_stream_of_a_run_that_is_not_there_is_refused(served: Api) -> None:
    answer = await served.client.get(
        "/api/v1/events?run=nothing-1", headers={"accept": "text/event-stream"}
    )
    assert answer.status_code == 404


async def test_a_gap_tells_what_was_left_out(served: Api) -> None:
    async with stream(served, "/api/v1/events", **{"Last-Event-ID": "another-3"}) as reader:
        gap = await reader.event()
    assert set(gap["data"]) == {"reason", "from", "to", "missed"}
    assert gap["id"].endswith("-0")


async def test_the_journal_is_read_in_pages(api: Api) -> None:
    for number in range(3):
        await add(api, "a", number)
    first = (await api.client.get("/api/v1/events?limit=2")).json()
    rest = (await api.client.get(f"/api/v1/events?after={first['next']}")).json()
    assert [event["data"]["n"] for event in first["items"] + rest["items"]] == [0, 1, 2]
    assert rest["next"] is None


async def test_readers_that_read_nothing_hold_up_nobody(served: Api) -> None:
    links = [await connected(served) for _ in range(5)]
    for link in links:
        await link.send_all(
            b"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
        )
    for number in range(50):
        event = EventDraft("big", "test", json.dumps({"n": number, "pad": "x" * 30_000}))
        await served.backend.store.add_event(event)
        served.backend.broker.publish(Message(EVENT_ADDED, "big"))
    with trio.fail_after(2):
        assert (await served.client.get("/livez")).status_code == 204
        assert (await served.client.get("/api/v1/runs")).status_code == 200
    for link in links:
        await trio.aclose_forcefully(link)


async def test_streams_end_when_the_daemon_stops(served: Api) -> None:
    async with stream(served, "/api/v1/events") as reader:
        served.backend.stopping.set()
        with pytest.raises(EOFError):
            await reader.event()
