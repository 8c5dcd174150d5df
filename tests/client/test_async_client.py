"""The async client does what the blocking one does, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest
import trio

from flowdapt.client import AsyncClient, Client, async_parts, events, executors, parts
from flowdapt.domain import errors
from tests.client.fake_daemon import FakeDaemon, answer, hang_up, problem, run, stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def _on_asyncio(work: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        return await work()

    return asyncio.run(whole())


@pytest.fixture(params=[trio.run, _on_asyncio], ids=["trio", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_lost_reply_is_asked_for_again_with_the_same_key(fake: FakeDaemon, loop: Any) -> None:
    fake.on("POST", "/workflows/train/runs", hang_up(), answer(run(state="queued"), 202))
    fake.on("GET", f"/runs/{run()['uid']}", answer(run()))

    async def work() -> Any:
        async with AsyncClient() as client:
            return await client.run("train", {"n": 1}, wait=True)

    assert loop(work).result == {"loss": 0.5}
    keys = {asked.headers["idempotency-key"] for asked in fake.asked if asked.method == "POST"}
    assert len(keys) == 1


def test_watching_goes_on_over_a_broken_connection(fake: FakeDaemon, loop: Any) -> None:
    fake.on(
        "GET", "/runs/x/watch",
        lambda _: stream(("run", run(state="running")), cut=True),
        lambda _: stream(("run", run()), first_id=2),
    )  # fmt: skip

    async def work() -> list[str]:
        async with AsyncClient() as client:
            return [found.state.value async for found in client.runs.watch("x")]

    assert loop(work) == ["running", "finished"]


def test_a_refusal_is_the_error_it_stands_for(fake: FakeDaemon, loop: Any) -> None:
    fake.on("POST", "/apply", problem(422, "workflow.cycle", errors=[{"loc": [], "msg": "m"}]))

    async def work() -> None:
        async with AsyncClient() as client:
            await client.apply("kind: workflow")

    with pytest.raises(errors.InvalidInput) as caught:
        loop(work)
    assert caught.value.exact_code == "workflow.cycle"


def test_nobody_there_is_said_at_once(flowdapt_home: object, loop: Any) -> None:
    async def work() -> None:
        async with AsyncClient() as client:
            await client.status()

    with pytest.raises(errors.Unreachable):
        loop(work)


@pytest.mark.parametrize(
    ("blocking", "awaited"),
    [
        (Client, AsyncClient),
        (parts.Runs, async_parts.AsyncRuns),
        (parts.Triggers, async_parts.AsyncTriggers),
        (parts.Resources, async_parts.AsyncResources),
        (parts.Artifacts, async_parts.AsyncArtifacts),
        (parts.Secrets, async_parts.AsyncSecrets),
        (events.Events, events.AsyncEvents),
        (executors.Executors, executors.AsyncExecutors),
    ],
)
def test_both_clients_have_the_same_methods_and_parameters(blocking: type, awaited: type) -> None:
    def shape(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in vars(kind).items()
            if callable(value) and not name.startswith("_")
        }

    assert shape(blocking) == shape(awaited)
