"""Which executors are open, and what becomes of runs while one is away; on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from flowdapt.domain.errors import Conflict, ExecutorUnavailable, InvalidInput, NotFound
from flowdapt.domain.events import (
    EXECUTOR_SCALED,
    EXECUTOR_STARTED,
    EXECUTOR_STOPPED,
    EXECUTOR_UNAVAILABLE,
)
from flowdapt.domain.executor_profile import NewProfile
from flowdapt.domain.finding import Finding
from flowdapt.domain.run import RunRequest, RunState
from flowdapt.domain.task import ErrorInfo, Finished, Lost, Outcome, TaskCall
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.executor import Capacity, Emit, Scale
from flowdapt.ports.profiles import ActiveExecutor
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor, json_value
from tests.services.test_compute import stage
from tests.services.yard import IDLE_S, Yard, yard

pytestmark = pytest.mark.trio


async def slow(call: TaskCall, emit: Emit) -> Outcome:
    await trio.sleep(100)
    return Finished(json_value(None))


class Fleet:
    """Makes one cluster after the other, as the test says: some cannot be opened, some hang."""

    def __init__(self, *troubles: str | None) -> None:
        self.troubles = list(troubles)
        self.bodies: dict[str, Any] = {}
        self.size: Scale | None = None
        self.capacity: Capacity | None = None

    def __call__(self, _options: dict[str, Any]) -> FakeExecutor:
        executor = FakeExecutor(self.bodies, capacity=self.capacity)
        trouble = self.troubles.pop(0) if self.troubles else None
        executor.size = self.size

        async def opening() -> None:
            if trouble == "hangs":
                await trio.sleep(300)
            elif trouble is not None:
                raise ExecutorUnavailable(trouble)
            await trio.sleep(1)

        executor.opening = opening
        return executor


# -- what is open --------------------------------------------------------------------------------


async def test_only_the_executor_of_this_machine_is_open_at_first(
    autojump_clock: MockClock,
) -> None:
    async with yard() as y:
        views = {view.name: view for view in await y.executors.views()}
        assert {name: view.state for name, view in views.items()} == {
            "dask": "closed", "local": "ready", "ray": "closed",
        }  # fmt: skip
        assert (views["local"].active, views["local"].slots) == (True, 2)
        assert all(view.built_in for view in views.values())
        assert y.made == []


async def test_a_run_opens_its_executor_and_nothing_keeps_it_open_for_long(
    autojump_clock: MockClock,
) -> None:
    async with yard(make=Fleet()) as y:
        run = await y.submit("dask")
        await trio.sleep(0.1)
        assert await y.state("dask") == "opening"
        assert (await y.ended(run)).state is RunState.FINISHED
        assert [call.run.executor for call in y.made[0].calls] == ["dask"]
        await trio.sleep(IDLE_S - 5)
        assert await y.state("dask") == "ready"
        await trio.sleep(10)
        assert await y.state("dask") == "closed"
        assert not y.made[0].open
        assert await y.told() == ["started dask", "stopped dask"]


async def test_a_run_in_between_keeps_it_open(autojump_clock: MockClock) -> None:
    async with yard(make=Fleet()) as y:
        for _ in range(3):
            await y.ended(await y.submit("dask"))
            await trio.sleep(IDLE_S - 5)
        assert len(y.made) == 1
        assert y.made[0].open


async def test_a_closed_executor_opens_again(autojump_clock: MockClock) -> None:
    async with yard(make=Fleet()) as y:
        await y.ended(await y.submit("dask"))
        await trio.sleep(2 * IDLE_S)
        assert (await y.ended(await y.submit("dask"))).state is RunState.FINISHED
        assert len(y.made) == 2


async def test_a_run_that_comes_while_it_closes_is_not_lost(autojump_clock: MockClock) -> None:
    class Lingering(FakeExecutor):
        """Takes its time to end."""

        async def run(
            self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        ) -> None:
            try:
                await super().run(task_status=task_status)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(10)

    async with yard(make=lambda _: Lingering()) as y:
        await y.ended(await y.submit("dask"))
        await trio.sleep(IDLE_S + 5)
        run = await y.submit("dask")
        assert (await y.ended(run, 60)).state is RunState.FINISHED
        assert len(y.made) == 2


async def test_the_active_executor_is_open_from_the_start_on(autojump_clock: MockClock) -> None:
    store = MemoryStore(FakeClock())
    await store.switch_executor("dask", if_revision=0)
    async with yard(store, make=Fleet()) as y:
        assert y.executors.active == "dask"
        assert await y.state("dask") == "opening", "nobody waits for it"
        await trio.sleep(10 * IDLE_S)
        assert await y.state("dask") == "ready"
        run = await y.submit()
        assert run.executor == "dask"
        assert (await y.ended(run)).state is RunState.FINISHED


async def test_the_end_of_the_daemon_closes_what_is_open(autojump_clock: MockClock) -> None:
    async with yard(make=Fleet()) as y:
        await y.ended(await y.submit("dask"))
    assert not y.made[0].open
    events = await y.store.list_events(types=[EXECUTOR_STARTED, EXECUTOR_STOPPED])
    assert sorted(event.data["name"] for event in events) == ["dask", "dask", "local", "local"]


# -- outages -------------------------------------------------------------------------------------


async def test_stages_wait_with_a_reason_while_a_cluster_cannot_be_opened(
    autojump_clock: MockClock,
) -> None:
    fleet = Fleet(*["nobody listens at tls://10.0.0.5:8786"] * 4)
    async with yard(make=fleet) as y:
        run = await y.submit("dask")
        await trio.sleep(5)
        assert "nobody listens at tls://10.0.0.5:8786" in await y.why(run)
        view = await y.executors.view("dask")
        assert (view.state, view.waiting, view.runs) == ("unavailable", 1, 1)
        assert "next try in" in view.words
        assert "nobody listens" in y.troubles["executor dask"]
        assert (await y.ended(run)).state is RunState.FINISHED
        assert y.troubles == {}
        assert await y.told() == ["unavailable dask", "available dask"]


async def test_it_is_tried_ever_less_often(autojump_clock: MockClock) -> None:
    fleet = Fleet(*["away"] * 1000)
    async with yard(make=fleet) as y:
        await y.submit("dask")
        await trio.sleep(59)
        first = len(y.made)
        await trio.sleep(600)
        assert first == 6, "after 0, 1, 3, 7, 15, 31 s"
        assert len(y.made) - first in (20, 21)


async def test_a_connect_that_hangs_holds_up_nothing_else(autojump_clock: MockClock) -> None:
    async with yard(make=Fleet(*["hangs"] * 30)) as y:
        there = await y.submit("dask")
        here = await y.submit("local")
        assert (await y.ended(here, 1)).state is RunState.FINISHED
        await trio.sleep(300)
        for _ in range(100):
            began = trio.current_time()
            assert (await y.runs.get(there.uid)).state is RunState.RUNNING
            await y.executors.views()
            assert trio.current_time() == began
        assert "within 10 s" in await y.why(there)
        assert (await y.ended(there, 3600)).state is RunState.FINISHED


async def test_an_executor_that_is_lost_comes_back_and_its_tasks_with_it(
    autojump_clock: MockClock,
) -> None:
    fleet = Fleet()
    fleet.bodies = {"m.a": slow}
    async with yard(make=fleet) as y:
        run = await y.submit("dask")
        await trio.sleep(10)
        fleet.bodies.clear()
        y.made[0].bodies = {}
        y.made[0].break_down("the scheduler is gone")
        await trio.sleep(0.5)
        assert await y.state("dask") == "unavailable"
        assert "the scheduler is gone" in (await y.executors.view("dask")).words
        await trio.sleep(10)
        assert await y.state("dask") == "ready"
        assert len(y.made) == 2
        again = await y.submit("dask")
        assert (await y.ended(again)).state is RunState.FINISHED
        assert (await y.ended(run)).state is RunState.FINISHED
        assert await y.told() == ["started dask", "unavailable dask", "available dask"]


async def test_tasks_in_flight_when_it_is_lost_run_again(autojump_clock: MockClock) -> None:
    class Dying(FakeExecutor):
        """Tells of the loss of its tasks before anybody knows of its own."""

        async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
            if self.broken.is_set():
                raise ExecutorUnavailable("gone")
            self.calls.append(call)
            await self.broken.wait()
            return Lost("gone", ErrorInfo("flowdapt.WorkerLost", "the cluster is gone"))

        async def run(
            self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        ) -> None:
            try:
                await super().run(task_status=task_status)
            finally:
                await trio.sleep(0.05)

    made: list[FakeExecutor] = []

    def make(_options: dict[str, Any]) -> FakeExecutor:
        made.append(Dying() if not made else FakeExecutor())
        return made[-1]

    async with yard(make=make) as y:
        run = await y.submit("dask")
        await trio.sleep(1)
        made[0].break_down("the scheduler was killed")
        ended = await y.ended(run)
        told = await y.store.list_events(types=[EXECUTOR_UNAVAILABLE])
        assert [event.data["reason"] for event in told] == ["the scheduler was killed"]
        assert ended.state is RunState.FINISHED
        assert ended.stages[0].losses == 1
        assert len(made[1].calls) == 1


async def test_an_executor_that_refuses_tasks_is_tried_by_one_of_them(
    autojump_clock: MockClock,
) -> None:
    local = FakeExecutor(slots=8)
    local.refusal = "no workers"
    async with yard(local=lambda: local) as y:
        runs = [await y.submit() for _ in range(6)]
        await trio.sleep(10)
        assert "no workers" in await y.why(runs[0])
        assert "no workers" in await y.why(runs[5])
        assert (await y.executors.view("local")).state == "unavailable"
        assert "no workers" in y.troubles["executor local"]
        local.refusal = None
        assert {(await y.ended(run)).state for run in runs} == {RunState.FINISHED}
        assert y.troubles == {}
        assert await y.told(but="") == ["started local", "unavailable local", "available local"]


async def test_a_run_that_waits_for_an_executor_can_be_cancelled(autojump_clock: MockClock) -> None:
    async with yard(make=Fleet(*["away"] * 1000)) as y:
        run = await y.submit("dask")
        await trio.sleep(60)
        await y.runs.cancel(run.uid)
        assert (await y.ended(run, 5)).state is RunState.CANCELLED
        await trio.sleep(60)
        assert await y.state("dask") == "closed", "nobody needs it any more"
        assert y.troubles == {}


async def test_runs_stay_where_they_are_over_a_restart_of_the_daemon(
    autojump_clock: MockClock,
) -> None:
    store, fleet = MemoryStore(FakeClock()), Fleet()
    fleet.bodies = {"m.a": slow}
    async with yard(store, make=fleet) as y:
        run = await y.submit("dask")
        await trio.sleep(10)
        assert y.made[0].running == 1
    async with yard(store, make=fleet, owner="two") as y:
        assert await y.state("dask") == "opening"
        assert (await y.ended(run)).state is RunState.FINISHED
        assert [call.run.executor for call in y.made[0].calls] == ["dask"]


async def test_a_drain_does_not_wait_for_an_executor_that_is_away(
    autojump_clock: MockClock,
) -> None:
    async with yard(make=Fleet(*["away"] * 1000)) as y:
        run = await y.submit("dask")
        await trio.sleep(5)
        began = trio.current_time()
        await y.compute.drain(60)
        assert trio.current_time() - began < 1
        assert (await y.runs.get(run.uid)).state is RunState.RUNNING


# -- elastic -------------------------------------------------------------------------------------


async def test_growing_and_shrinking_is_told_once_a_second_at_most(
    autojump_clock: MockClock,
) -> None:
    fleet = Fleet()
    fleet.size, fleet.bodies = Scale(1, 1, 4), {"m.a": slow}
    async with yard(make=fleet) as y:
        await y.submit("dask")
        await trio.sleep(3.5)
        for workers in (2, 3, 4, 4, 4, 1):
            y.made[0].size = Scale(workers, 1, 4)
            await trio.sleep(0.4)
        await trio.sleep(2)
        events = await y.store.list_events(types=[EXECUTOR_SCALED])
        steps = [(event.data["from"], event.data["to"]) for event in events]
        assert len(steps) <= 3
        assert (steps[0][0], steps[-1][1]) == (1, 1)
        assert all(before != after for before, after in steps)
        assert events[0].data | {"from": 0, "to": 0} == {
            "name": "dask", "kind": "dask", "from": 0, "to": 0, "minimum": 1, "maximum": 4,
        }  # fmt: skip
        view = await y.executors.view("dask")
        assert (view.workers, view.minimum, view.maximum) == (1, 1, 4)
        assert view.words == "1 of 1-4 workers"


async def test_more_capacity_lets_waiting_tasks_in(autojump_clock: MockClock) -> None:
    fleet = Fleet()
    fleet.bodies, fleet.capacity = {"m.a": slow}, Capacity(1, 1.0)
    async with yard(make=fleet) as y:
        for _ in range(3):
            await y.submit("dask")
        await trio.sleep(5)
        assert y.made[0].running == 1
        y.made[0].capacity_now = Capacity(3, 3.0)
        await trio.sleep(2)
        assert y.made[0].running == 3


# -- profiles ------------------------------------------------------------------------------------


async def test_options_are_checked_before_they_are_stored(autojump_clock: MockClock) -> None:
    async with yard() as y:
        for kind, options in (("dask", {"wrong": 1}), ("mars", {}), ("dask", {"n": float("nan")})):
            with pytest.raises(InvalidInput):
                await y.executors.add(NewProfile(name="lab", kind=kind, options=options))
        assert len(await y.executors.views()) == 3


async def test_a_profile_shows_no_secrets(autojump_clock: MockClock) -> None:
    options = {
        "address": "tls://me:hunter2@host:1", "token": "hunter2", "password": "${secret:LAB}",
        "nested": {"api_key": "hunter2"}, "maximum": 3,
    }  # fmt: skip
    async with yard() as y:
        await y.add(**options)
        view = await y.executors.view("lab")
        assert "hunter2" not in view.model_dump_json()
        assert view.options["maximum"] == 3
        assert view.options["password"] == "${secret:LAB}"


async def test_what_is_pinned_or_active_cannot_be_removed(autojump_clock: MockClock) -> None:
    fleet = Fleet()
    fleet.bodies = {"m.a": slow}
    async with yard(make=fleet) as y:
        await y.add()
        run = await y.submit("lab")
        with pytest.raises(Conflict):
            await y.executors.remove("lab")
        await y.ended(run)
        assert (await y.use("lab")).switched
        with pytest.raises(Conflict):
            await y.executors.remove("lab")
        assert (await y.use("local")).switched
        await y.executors.remove("lab")
        await trio.sleep(0.1)
        assert not any(one.open for one in y.made), "nobody waits for the idle time"
        with pytest.raises(NotFound):
            await y.submit("lab")
        with pytest.raises(NotFound):
            await y.executors.view("lab")


async def test_a_name_that_is_given_anew_means_the_new_options(autojump_clock: MockClock) -> None:
    seen: list[dict[str, Any]] = []

    def make(options: dict[str, Any]) -> FakeExecutor:
        seen.append(options)
        return FakeExecutor()

    async with yard(make=make) as y:
        for maximum in (1, 2):
            await y.add(maximum=maximum)
            assert (await y.ended(await y.submit("lab"))).state is RunState.FINISHED
            await y.executors.remove("lab")
        assert seen == [{"maximum": 1}, {"maximum": 2}]


@pytest.mark.parametrize("name", ["local", "dask"])
async def test_what_is_built_in_stays(autojump_clock: MockClock, name: str) -> None:
    async with yard() as y:
        with pytest.raises(Conflict):
            await y.executors.remove(name)


async def test_another_daemon_learns_of_profiles_and_of_the_switch(
    autojump_clock: MockClock,
) -> None:
    store = MemoryStore(FakeClock())
    async with (
        yard(store, alone=False) as one,
        yard(store, alone=False, owner="two", broker=InProcessBroker()) as two,
    ):
        await one.add()
        run = await two.submit("lab")
        assert run.executor == "lab", "the store is asked for what is not known"
        assert (await one.use("lab")).switched
        await trio.sleep(5.5)
        assert two.executors.active == "lab"
        assert (await two.submit()).executor == "lab"


async def test_a_hint_makes_it_quick(autojump_clock: MockClock) -> None:
    store, broker = MemoryStore(FakeClock()), InProcessBroker()
    async with (
        yard(store, alone=False, broker=broker) as one,
        yard(store, alone=False, broker=broker, owner="two") as two,
    ):
        assert (await one.use("dask")).switched
        await trio.sleep(0.01)
        assert two.executors.active == "dask"


async def test_the_trouble_of_a_local_executor_ends_nothing(autojump_clock: MockClock) -> None:
    made: list[FakeExecutor] = []

    def local() -> FakeExecutor:
        made.append(FakeExecutor())
        return made[-1]

    async with yard(local=local) as y:
        made[0].break_down("a bug")
        await trio.sleep(3)
        assert len(made) == 2
        assert (await y.ended(await y.submit())).state is RunState.FINISHED
        assert isinstance(y, Yard)


async def test_one_that_opens_and_dies_at_once_is_opened_ever_less_often(
    autojump_clock: MockClock,
) -> None:
    class Flapping(FakeExecutor):
        """Opens well, and ends a second later."""

        async def run(
            self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        ) -> None:
            task_status.started()
            await trio.sleep(1)

    async def never(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep_forever()

    async with yard(make=lambda _: Flapping({"m.a": never})) as y:
        await y.submit("dask")
        await trio.sleep(600)
        assert 20 <= len(y.made) <= 26
        assert "it has ended" in y.troubles["executor dask"]


async def test_a_drain_does_not_wait_for_tasks_that_stand_still(autojump_clock: MockClock) -> None:
    local = FakeExecutor()
    local.refusal = "no workers"
    async with yard(local=lambda: local) as y:
        run = await y.submit()
        await trio.sleep(20)
        assert (await y.runs.get(run.uid)).stages[0].state == "pending"
        began = trio.current_time()
        await y.compute.drain(60)
        assert trio.current_time() - began < 1
        local.refusal = None
        y.compute.resume()
        assert (await y.ended(run)).state is RunState.FINISHED


async def test_an_idle_cluster_is_looked_at_every_five_seconds_only(
    autojump_clock: MockClock,
) -> None:
    class Counting(FakeExecutor):
        looks = 0

        def scale(self) -> Scale:
            self.looks += 1
            return Scale(1, 1, 4)

    store, executor = MemoryStore(FakeClock()), Counting()
    await store.switch_executor("dask", if_revision=0)
    async with yard(store, make=lambda _: executor):
        await trio.sleep(600)
        assert executor.looks <= 122


async def test_an_active_executor_that_is_gone_is_told_and_not_stumbled_over(
    autojump_clock: MockClock,
) -> None:
    store = MemoryStore(FakeClock())
    store._active_executor = ActiveExecutor("ghost", "local", 1)
    async with yard(store) as y:
        assert y.executors.figures("ghost")["state"] == "closed"
        run = await y.submit()
        ended = await y.ended(run)
        assert ended.state is RunState.FAILED
        assert ended.error is not None
        assert "'ghost'" in ended.error.message
        assert (await y.use("local")).active == "local"


async def test_a_run_that_began_before_its_cluster_was_open_uses_all_of_it(
    autojump_clock: MockClock,
) -> None:
    async def ten_seconds(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep(10)
        assert call.map is not None
        return Finished(json_value([None]), 10.0, call.map.start + 1)

    fleet = Fleet()
    fleet.bodies, fleet.capacity = {"m.many": ten_seconds}, Capacity(None, 100.0)
    async with yard(make=fleet) as y:
        many = stage("many", type="parameterized", map_on="items")
        y.workflows.add("wide", many)
        items = {"items": list(range(500))}
        run, _ = await y.runs.submit("wide", RunRequest(executor="dask", input=items))
        began = trio.current_time()
        ended = await y.ended(run)
        assert ended.state is RunState.FINISHED
        assert y.made[0].most_running == 100
        assert trio.current_time() - began < 100, "500 items of 10 s, 100 at once"


async def test_a_run_that_names_an_executor_is_warned_of_what_its_checks_find(
    autojump_clock: MockClock,
) -> None:
    skew = Finding(
        what="plugin",
        level="failed",
        words="plugin nowcast 0.4.1 here, 0.3.9 on 2 of 6 workers",
        code="executor.plugin_skew",
    )

    def make(_options: dict[str, Any]) -> FakeExecutor:
        executor = FakeExecutor()
        executor.findings = [skew]
        return executor

    async with yard(make=make) as y:
        await y.add()
        await y.ended(await y.submit("lab"))
        assert y.troubles == {"checks of lab": f"executor lab: {skew.words}"}
        await trio.sleep(IDLE_S + 5)
        assert y.troubles == {}


async def test_a_task_that_a_cluster_without_workers_has_taken_says_what_it_waits_for(
    autojump_clock: MockClock,
) -> None:
    workers = trio.Event()

    async def once_there_is_one(call: TaskCall, emit: Emit) -> Outcome:
        await workers.wait()
        return Finished(json_value(None), 0.1, 1)

    fleet = Fleet()
    fleet.bodies, fleet.capacity = {"m.a": once_there_is_one}, Capacity(None, 0.0)
    async with yard(make=fleet) as y:
        y.workflows.add("lonely", stage("a"))
        run, _ = await y.runs.submit("lonely", RunRequest(executor="dask"))
        await trio.sleep(5)
        assert "it waits for a worker: the executor tells of none" in await y.why(run)
        y.made[0].size = Scale(1)
        assert "a worker" not in await y.why(run)
        workers.set()
        assert (await y.ended(run)).state is RunState.FINISHED
