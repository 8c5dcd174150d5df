"""Executors and the switch by both clients: what is sent, and the models that come back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt.client import AsyncClient, Client
from flowdapt.domain import errors
from flowdapt.domain.executor_profile import Checked, ExecutorView, Switched
from tests.client.fake_daemon import answer, hang_up, problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.client.fake_daemon import FakeDaemon

VIEW = {"name": "lab", "kind": "dask", "state": "ready", "active": True, "workers": 3}
CHECKED = {
    "name": "lab", "passed": False, "took_s": 0.5,
    "findings": [{"what": "python", "level": "failed", "words": "3.11 here", "code": "c", "fix": "f"}],
}  # fmt: skip
SWITCHED = {"switched": True, "active": "lab", "previous": "local", "pinned": {"local": 1}}


@pytest.fixture
def script(fake: FakeDaemon) -> FakeDaemon:
    fake.on("GET", "/executors", answer({"items": [VIEW]}))
    fake.on("POST", "/executors", answer(VIEW, 201))
    fake.on("GET", "/executors/lab", answer(VIEW))
    fake.on("DELETE", "/executors/lab", answer(None, 204))
    fake.on("GET", "/executors/lab/workers", answer({"items": [{"name": "w"}]}))
    fake.on("POST", "/executors/lab/check", answer(CHECKED))
    fake.on("PUT", "/active-executor", answer(SWITCHED))
    return fake


def _whole(found: list[Any], fake: FakeDaemon) -> None:
    view = ExecutorView.model_validate(VIEW)
    assert found == [
        [view], view, view, [{"name": "w"}],
        Checked.model_validate(CHECKED), None, Switched.model_validate(SWITCHED),
    ]  # fmt: skip
    (added,) = fake.calls("POST", "/executors")
    assert added.json() == {"name": "lab", "kind": "dask", "options": {"address": "tls://h:1"}}
    (used,) = fake.calls("PUT", "/active-executor")
    assert used.json() == {"name": "lab", "insecure": True, "keep_going": False}


def test_the_blocking_client_speaks_of_executors(script: FakeDaemon) -> None:
    with Client() as client:
        found: list[Any] = [
            client.executors.list(),
            client.executors.get("lab"),
            client.executors.add("lab", "dask", {"address": "tls://h:1"}),
            client.executors.workers("lab"),
            client.executors.check("lab"),
        ]
        client.executors.remove("lab")
        found += [None, client.use("lab", insecure=True)]
    _whole(found, script)


def test_the_async_client_does_as_the_blocking_one(script: FakeDaemon) -> None:
    async def work() -> list[Any]:
        async with AsyncClient() as client:
            found: list[Any] = [
                await client.executors.list(),
                await client.executors.get("lab"),
                await client.executors.add("lab", "dask", {"address": "tls://h:1"}),
                await client.executors.workers("lab"),
                await client.executors.check("lab"),
            ]
            await client.executors.remove("lab")
            return [*found, None, await client.use("lab", insecure=True)]

    _whole(asyncio.run(work()), script)


def test_a_failed_check_is_returned_and_not_raised(fake: FakeDaemon) -> None:
    refused = {"switched": False, "active": "local", "previous": None, **_findings()}
    fake.on("PUT", "/active-executor", answer(refused))
    with Client() as client:
        found = client.use("lab")
    assert not found.switched
    assert found.findings[0].level == "failed"


def _findings() -> dict[str, Any]:
    return {"findings": CHECKED["findings"]}


def test_a_refusal_is_raised(fake: FakeDaemon) -> None:
    fake.on("PUT", "/active-executor", problem(409, "executor.no_way_back"))
    fake.on("POST", "/executors", problem(422, "plugin.unknown_kind"))
    with Client() as client:
        with pytest.raises(errors.Conflict):
            client.use("-")
        with pytest.raises(errors.InvalidInput):
            client.executors.add("lab", "dusk")


@pytest.mark.parametrize(("name", "times"), [("lab", 2), ("-", 1)])
def test_a_lost_answer_is_asked_for_again_but_going_back_is_not(
    fake: FakeDaemon, name: str, times: int
) -> None:
    def use() -> str:
        with Client() as client:
            return client.use(name).active

    async def use_async() -> str:
        async with AsyncClient() as client:
            return (await client.use(name)).active

    ways: list[Callable[[], str]] = [use, lambda: _run(use_async)]
    for way in ways:
        fake.asked.clear()
        fake.on("PUT", "/active-executor", hang_up(), answer(SWITCHED))
        if times == 1:
            with pytest.raises(errors.Unreachable):
                way()
        else:
            assert way() == "lab"
        assert len(fake.asked) == times


def _run(work: Callable[[], Awaitable[str]]) -> str:
    async def whole() -> str:
        return await work()

    return asyncio.run(whole())
