"""The switch: what a check finds, what moves the pointer, and what leaves everything as it was."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from flowdapt.domain.errors import Conflict, ExecutorUnavailable, InvalidInput, NotFound
from flowdapt.domain.finding import Finding
from flowdapt.domain.run import RunState
from flowdapt.domain.task import ErrorInfo, Failed, Finished, Outcome, TaskCall
from flowdapt.ports.executor import Capacity, Emit, Scale
from flowdapt.ports.profiles import ActiveExecutor
from flowdapt.runtime.smoke import SMOKE_TARGET
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor, json_value
from tests.services.yard import IDLE_S, Yard, yard

pytestmark = pytest.mark.trio


def levels(findings: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.level for finding in findings}


def cluster(**fields: Any) -> Any:
    """Return what makes clusters with these fields."""

    def make(_options: dict[str, Any]) -> FakeExecutor:
        executor = FakeExecutor(capacity=fields.get("capacity"))
        for name, value in fields.items():
            if name != "capacity":
                setattr(executor, name, value)
        return executor

    return make


async def hangs() -> None:
    await trio.sleep(300)


async def refuses() -> None:
    raise ExecutorUnavailable("nobody listens", fix="start the scheduler")


def smoke(answer: object) -> dict[str, Any]:
    async def body(call: TaskCall, emit: Emit) -> Outcome:
        return Finished(json_value(answer))

    return {"bodies": {SMOKE_TARGET: body}}


async def unmoved(y: Yard) -> bool:
    """Say whether a switch that did not pass has left nothing behind."""
    pointer = await y.store.active_executor()
    return (
        pointer == ActiveExecutor("local")
        and await y.store.list_profiles() == []
        and not any(one.open for one in y.made)
        and await y.told() == [one for one in await y.told() if "switched" not in one]
    )


# -- switching -------------------------------------------------------------------------------------


async def test_after_a_switch_new_runs_go_there_and_open_ones_stay(
    autojump_clock: MockClock,
) -> None:
    async def slow(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep(30)
        return Finished(json_value("here"))

    local = FakeExecutor({"m.a": slow})
    async with yard(local=lambda: local, make=cluster(size=Scale(2, 1, 4))) as y:
        before = await y.submit()
        switched = await y.use("dask")
        after = await y.submit()
        assert (switched.switched, switched.active, switched.previous) == (True, "dask", "local")
        assert switched.pinned == {"local": 1}
        assert levels(switched.findings) == {
            "open": "ok", "results": "ok", "resources": "ok", "task": "ok",
        }  # fmt: skip
        assert (await y.ended(after)).state is RunState.FINISHED
        assert (await y.ended(before)).result == "here"
        assert [call.run.executor for call in y.made[0].calls] == ["dask", "dask"]
        assert [call.run.executor for call in local.calls] == ["local"]


async def test_the_way_back_is_stored(autojump_clock: MockClock) -> None:
    store = MemoryStore(FakeClock())
    async with yard(store) as y:
        with pytest.raises(Conflict) as caught:
            await y.use("-")
        assert caught.value.exact_code == "executor.no_way_back"
        await y.use("dask")
    async with yard(store, owner="two") as y:
        assert (await y.use("-")).active == "local"
        assert (await y.use("-")).active == "dask"
        assert (await y.use("ray")).previous == "dask"


async def test_a_switch_to_the_active_executor_changes_nothing(autojump_clock: MockClock) -> None:
    async with yard() as y:
        await y.use("dask")
        again = await y.use("dask")
        assert (again.switched, again.active, again.previous) == (True, "dask", "local")
        assert (await y.told()).count("switched dask") == 1


async def test_the_executor_before_closes_when_its_runs_have_ended(
    autojump_clock: MockClock,
) -> None:
    async with yard() as y:
        await y.use("dask")
        await y.use("ray")
        await trio.sleep(IDLE_S - 1)
        assert await y.state("dask") == "ready", "the way back is quick for a while"
        await trio.sleep(2)
        assert await y.state("dask") == "closed"
        assert await y.state("ray") == "ready"


async def test_two_switches_at_once_come_one_after_the_other(autojump_clock: MockClock) -> None:
    async with yard() as y, trio.open_nursery() as nursery:
        answers: list[str] = []

        async def use(name: str) -> None:
            answers.append((await y.use(name)).active)

        nursery.start_soon(use, "dask")
        nursery.start_soon(use, "ray")
        await trio.sleep(10)
        pointer = await y.store.active_executor()
        assert sorted(answers) == ["dask", "ray"]
        assert (pointer.revision, {pointer.name, pointer.previous}) == (2, {"dask", "ray"})
        assert answers[-1] == pointer.name


# -- what keeps from it ----------------------------------------------------------------------------


async def test_a_connect_that_hangs_is_told_within_its_timeout(autojump_clock: MockClock) -> None:
    async with yard(make=cluster(opening=hangs), patience_s=10.0) as y:
        began = trio.current_time()
        switched = await y.use("dask")
        assert trio.current_time() - began <= 11
        (finding,) = switched.findings
        assert (finding.what, finding.level, finding.code) == (
            "open", "failed", "executor.unavailable",
        )  # fmt: skip
        assert "within 10 s" in finding.words
        assert finding.fix
        assert not switched.switched
        assert await unmoved(y)
        assert y.troubles == {}
        assert await y.told() == []


async def test_an_executor_that_hangs_when_it_is_stopped_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    async def clings() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(200)

    async with yard(make=cluster(opening=clings), patience_s=10.0) as y:
        began = trio.current_time()
        assert not (await y.use("dask")).switched
        assert trio.current_time() - began <= 11


async def test_why_it_cannot_be_opened_is_told_with_the_way_out(
    autojump_clock: MockClock,
) -> None:
    async with yard(make=cluster(opening=refuses)) as y:
        switched = await y.use("dask", keep_going=True)
        assert "nobody listens; start the scheduler" in switched.findings[0].words
        assert not switched.switched, "what cannot be opened is never switched to"
        assert await unmoved(y)


async def test_a_failed_row_of_the_executor_keeps_from_switching(
    autojump_clock: MockClock,
) -> None:
    skew = Finding(what="plugin", level="failed", words="0.4 here, 0.3 there", code="x.skew")
    async with yard(make=cluster(findings=[skew])) as y:
        switched = await y.use("dask")
        assert (switched.switched, switched.active) == (False, "local")
        assert skew in switched.findings
        await trio.sleep(0.1)
        assert await unmoved(y)
        assert await y.state("dask") == "closed", "what was opened for it is closed at once"
        assert (await y.use("dask", keep_going=True)).active == "dask"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (smoke({"question": 1, "answer": 2}), "wrong answer"),
        (smoke("x"), "wrong answer"),
        ({"refusal": "no workers"}, "no workers"),
    ],
)
async def test_code_that_does_not_run_there_keeps_from_switching(
    fields: dict[str, Any], words: str, autojump_clock: MockClock
) -> None:
    async with yard(make=cluster(**fields)) as y:
        switched = await y.use("dask")
        assert not switched.switched
        assert words in switched.findings[-1].words
        await trio.sleep(0.1)
        assert await unmoved(y)


async def test_a_small_task_that_fails_or_hangs_is_told(autojump_clock: MockClock) -> None:
    async def fails(call: TaskCall, emit: Emit) -> Outcome:
        return Failed(ErrorInfo("builtins.ModuleNotFoundError", "No module named 'flowdapt'"))

    async def never(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep_forever()

    for body, words in ((fails, "No module named 'flowdapt'"), (never, "within 60 s")):
        async with yard(make=cluster(bodies={SMOKE_TARGET: body})) as y:
            checked = await y.switch.check("dask")
            assert not checked.passed
            assert words in checked.findings[-1].words


async def test_a_cluster_without_workers_is_said_to_have_none_and_nothing_else(
    autojump_clock: MockClock,
) -> None:
    async def fails(call: TaskCall, emit: Emit) -> Outcome:
        return Failed(ErrorInfo("distributed.X", "TimeoutError: No valid workers found"))

    none = Finding(
        what="workers",
        level="warning",
        words="no workers now",
        code="executor.no_workers",
        fix="start workers",
    )
    fields = {"bodies": {SMOKE_TARGET: fails}, "findings": [none], "capacity": Capacity(None, 0.0)}
    async with yard(make=cluster(**fields)) as y:
        await y.keep("any", gpus=1)
        checked = await y.switch.check("dask")
        bad = [(one.code, one.fix) for one in checked.findings if one.level != "ok"]
        assert bad == [
            ("executor.no_workers", "start workers"),
            ("executor.smoke_failed", "start workers"),
        ]
        assert "there is no worker" in checked.findings[-1].words


async def test_a_check_that_breaks_is_a_row(autojump_clock: MockClock) -> None:
    class Broken(FakeExecutor):
        async def check(self) -> list[Finding]:
            raise RuntimeError("a stranger's bug")

    async with yard(make=lambda _: Broken()) as y:
        checked = await y.switch.check("dask")
        assert not checked.passed
        assert "a stranger's bug" in checked.findings[1].words


# -- what a check tells ----------------------------------------------------------------------------


async def test_workflows_that_ask_for_too_much_are_named(autojump_clock: MockClock) -> None:
    async with yard(make=cluster(capacity=Capacity(None, 8.0, gpus=2.0))) as y:
        await y.keep("paperboy", gpus=4)
        await y.keep("modest", gpus=1)
        await y.keep("licensed", licences=1)
        checked = await y.switch.check("dask")
        warned = [one for one in checked.findings if one.what == "resources"]
        assert checked.passed
        assert {one.words for one in warned} == {
            "workflow paperboy asks gpus=4, dask has 2: it would wait for ever",
            "workflow licensed asks licences=1, dask has 0: it would wait for ever",
        }
        assert {one.level for one in warned} == {"warning"}


async def test_many_such_workflows_fill_no_page(autojump_clock: MockClock) -> None:
    async with yard() as y:
        for number in range(600):
            await y.keep(f"w{number:03}", gpus=1)
        warned = [one for one in (await y.switch.check("dask")).findings if one.level != "ok"]
        assert len(warned) == 11
        assert "590 more" in warned[-1].words


async def test_a_check_that_passed_leaves_it_open_for_the_switch(
    autojump_clock: MockClock,
) -> None:
    async with yard() as y:
        assert (await y.switch.check("dask")).passed
        assert (await y.use("dask")).switched
        assert len(y.made) == 1
        with pytest.raises(NotFound):
            await y.switch.check("nothing")


async def test_a_check_does_not_wait_for_the_next_try(autojump_clock: MockClock) -> None:
    troubles = ["away"] * 5

    def make(_options: dict[str, Any]) -> FakeExecutor:
        executor = FakeExecutor()
        if troubles:
            troubles.pop()
            executor.opening = refuses
        return executor

    async with yard(make=make) as y:
        run = await y.submit("dask")
        await trio.sleep(20)
        assert await y.state("dask") == "unavailable"
        began = trio.current_time()
        assert (await y.switch.check("dask")).passed
        assert trio.current_time() - began < 1
        assert (await y.ended(run)).state is RunState.FINISHED


# -- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "kind", "name"),
    [
        ("dask://10.0.0.5:8786", "dask", "dask-10-0-0-5-8786"),
        ("tls://Node.Example:8786", "dask", "dask-node-example-8786"),
        ("tcp://[::1]:8786", "dask", "dask-1-8786"),
        ("ray://head:10001", "ray", "ray-head-10001"),
        ("grid://head", "grid", "grid-head"),
    ],
)
async def test_an_address_becomes_a_profile(
    address: str, kind: str, name: str, autojump_clock: MockClock
) -> None:
    async with yard() as y:
        assert (await y.use(address)).active == name
        (profile,) = await y.store.list_profiles()
        assert (profile.name, profile.kind, profile.options) == (name, kind, {"address": address})
        await y.use("-")
        assert (await y.use(address)).active == name
        assert len(await y.store.list_profiles()) == 1


async def test_a_slash_behind_the_port_makes_no_other_profile(autojump_clock: MockClock) -> None:
    async with yard() as y:
        for address in ("dask://host:1/", "dask://host:1"):
            assert (await y.use(address)).active == "dask-host-1"
        (profile,) = await y.store.list_profiles()
        assert profile.options == {"address": "dask://host:1"}


async def test_the_same_address_with_another_wish_is_another_profile(
    autojump_clock: MockClock,
) -> None:
    async with yard() as y:
        await y.use("dask://host:1")
        assert (await y.use("dask://host:1", insecure=True)).active == "dask-host-1-2"
        assert (await y.store.find_profile("dask-host-1-2")).options["insecure"] is True  # type: ignore[union-attr]  # it is there


@pytest.mark.parametrize(
    "given", ["dask://", "dask://host:99999", "dask://a b:1", "://x", "ray:///"]
)
async def test_what_is_no_address_is_refused(given: str, autojump_clock: MockClock) -> None:
    async with yard() as y:
        with pytest.raises(InvalidInput):
            await y.use(given)
        assert await unmoved(y)


async def test_an_address_of_an_unknown_kind_is_refused(autojump_clock: MockClock) -> None:
    async with yard() as y:
        with pytest.raises(InvalidInput) as caught:
            await y.use("mars://host:1")
        assert caught.value.exact_code == "plugin.unknown_kind"
        with pytest.raises(NotFound):
            await y.use("mars")


async def test_an_address_that_does_not_answer_leaves_no_profile(
    autojump_clock: MockClock,
) -> None:
    async with yard(make=cluster(opening=refuses)) as y:
        assert not (await y.use("dask://host:1")).switched
        assert await unmoved(y)
        assert len(await y.executors.views()) == 3


async def test_a_switch_of_another_daemon_meanwhile_is_not_overwritten(
    autojump_clock: MockClock,
) -> None:
    async def late() -> None:
        await trio.sleep(3)

    async with yard(make=cluster(opening=late)) as y, trio.open_nursery() as nursery:

        async def meanwhile() -> None:
            await trio.sleep(1)
            await y.store.switch_executor("ray", if_revision=0)

        nursery.start_soon(meanwhile)
        with pytest.raises(Conflict) as caught:
            await y.use("dask")
        assert caught.value.exact_code == "executor.switched_meanwhile"
        assert (await y.store.active_executor()).name == "ray"


async def test_a_risky_address_is_refused_unless_that_is_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with yard() as y:
        with pytest.raises(InvalidInput) as caught:
            await y.use("dask://far:1")
        assert caught.value.exact_code == "executor.insecure"
        assert "--insecure" in (caught.value.fix or "")
        with pytest.raises(InvalidInput) as caught:
            await y.add("lab", address="dask://far:1")
        assert caught.value.exact_code == "executor.insecure"
        with pytest.raises(InvalidInput) as caught:
            await y.add("lab", address="dask://far:1", wrong=1)
        assert caught.value.exact_code == "executor.invalid_options"
        assert "'wrong'" in str(caught.value)  # and not what --insecure would not help against
        assert await unmoved(y)
        assert (await y.use("dask://far:1", insecure=True)).switched


async def test_a_client_that_goes_away_leaves_store_and_daemon_of_one_mind(
    autojump_clock: MockClock,
) -> None:
    """Whatever the instant at which the request is cancelled."""
    for checkpoints in range(40):
        async with yard() as y:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel(number: int, scope: trio.CancelScope = scope) -> None:
                        for _ in range(number):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    nursery.start_soon(cancel, checkpoints)
                    await y.use("dask://host:1")
            pointer = await y.store.active_executor()
            assert y.executors.active == pointer.name
            assert y.executors.knows(pointer.name)
            assert (await y.ended(await y.submit())).state is RunState.FINISHED
            if pointer.name == "local":
                await trio.sleep(0.1)
                assert not any(one.open for one in y.made)
    assert pointer.name == "dask-host-1", "the last of them was late enough"
