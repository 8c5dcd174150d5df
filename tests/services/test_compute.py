"""Runs driven end to end over a store and a fake executor, on trio's autojump clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from flowdapt.domain.errors import (
    InvalidInput,
    KeyReused,
    MissingObject,
    NotFound,
    RunNotTerminal,
)
from flowdapt.domain.records import RunChange
from flowdapt.domain.resource import canonical
from flowdapt.domain.run import RetryRequest, Run, RunRequest, RunState, StageState
from flowdapt.domain.task import (
    ErrorInfo,
    Failed,
    Finished,
    ItemFailure,
    LogLine,
    Lost,
    MetricPoint,
    Outcome,
    Progress,
    TaskCall,
    ValueRef,
)
from flowdapt.domain.workflow import WorkflowSpec
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.broker import Broker
from flowdapt.ports.executor import Capacity, Emit
from flowdapt.ports.logs import LogQuery
from flowdapt.ports.store import RunFilter
from flowdapt.services.catalog import CompiledWorkflow
from flowdapt.services.compute import Compute
from flowdapt.services.driver import DriverTools, RunDriver
from flowdapt.services.given import GivenExecutors
from flowdapt.services.runs import Runs
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor, MemoryLogs, MemoryValues, json_value

pytestmark = pytest.mark.trio

BOOM = ErrorInfo("builtins.ValueError", "boom", bases=("builtins.Exception",))


class Workflows:
    """A catalog of the workflows that a test defines."""

    def __init__(self) -> None:
        self.known: dict[str, CompiledWorkflow] = {}

    def add(self, name: str, *stages: dict[str, Any], **more: Any) -> None:
        spec = WorkflowSpec.model_validate({"stages": list(stages), **more})
        text = canonical(spec.model_dump(mode="json", exclude_defaults=True))
        self.known[name] = CompiledWorkflow(name, "u", 1, {}, spec, text, "{}")

    async def compiled(self, workflow: str) -> CompiledWorkflow:
        if workflow not in self.known:
            raise NotFound(f"no workflow {workflow!r}")
        return self.known[workflow]


@dataclass
class House:
    """Everything but the executor's processes."""

    store: MemoryStore
    broker: Broker
    logs: MemoryLogs
    clock: FakeClock
    executor: FakeExecutor
    compute: Compute
    runs: Runs
    workflows: Workflows
    nursery: trio.Nursery

    async def run(self, workflow: str, **input_: Any) -> Run:
        run, _ = await self.runs.submit(workflow, RunRequest(input=input_), wait_s=3600)
        return run


@asynccontextmanager
async def house(
    executor: FakeExecutor | None = None,
    *,
    store: MemoryStore | None = None,
    owner: str = "one",
    has_room: Callable[[], bool] = lambda: True,
    broker: Broker | None = None,
) -> AsyncIterator[House]:
    clock = FakeClock()
    store = store or MemoryStore(clock)
    await store.open()
    broker, logs, values = broker or InProcessBroker(), MemoryLogs(), MemoryValues()
    executor = executor or FakeExecutor()
    executors = GivenExecutors({"local": executor})
    compute = Compute(
        DriverTools(store, broker, logs, values, clock),
        executors,
        owner=owner,
        has_room=has_room,
    )
    workflows = Workflows()
    runs = Runs(
        store=store,
        broker=broker,
        values=values,
        logs=logs,
        clock=clock,
        catalog=workflows,
        engine=compute,
        executors=executors,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: broker.run(task_status=task_status))
        await nursery.start(lambda task_status: compute.run(task_status=task_status))
        yield House(store, broker, logs, clock, executor, compute, runs, workflows, nursery)
        nursery.cancel_scope.cancel()


def stage(name: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "target": f"m.{name}", "depends_on": list(depends_on), **more}


def finishes(value: object) -> Callable[[TaskCall, Emit], Any]:
    async def body(call: TaskCall, emit: Emit) -> Outcome:
        return Finished(json_value(value), 0.001)

    return body


async def hangs(call: TaskCall, emit: Emit) -> Outcome:
    await trio.sleep_forever()


async def test_a_run_gives_its_leafs_result(autojump_clock: MockClock) -> None:
    async with house(FakeExecutor({"m.b": finishes({"loss": 0.5})})) as h:
        h.workflows.add("w", stage("a"), stage("b", "a"))
        run = await h.run("w", x=1)
        assert (run.state, run.result, run.input) == (RunState.FINISHED, {"loss": 0.5}, {"x": 1})
        assert [s.state for s in run.stages] == [StageState.FINISHED] * 2
        assert h.executor.calls[1].args[0].data == b"null"


async def test_failures_name_stage_and_error_and_why_tells_the_way_out(
    autojump_clock: MockClock,
) -> None:
    async def fails(call: TaskCall, emit: Emit) -> Outcome:
        return Failed(BOOM)

    async with house(FakeExecutor({"m.a": fails})) as h:
        h.workflows.add("w", stage("a"), stage("b", "a"))
        run = await h.run("w")
        assert (run.state, run.reason) == (RunState.FAILED, "stage_failed")
        assert run.error is not None
        assert (run.error.stage, run.error.message) == ("a", "boom")
        reasons = {reason.code: reason for reason in await h.runs.explain(run.uid)}
        assert "flowdapt runs retry" in (reasons["run.stage_failed"].fix or "")
        assert "stage.skipped" in reasons


async def test_a_stage_over_its_timeout_fails_with_that_reason(autojump_clock: MockClock) -> None:
    async with house(FakeExecutor({"m.a": hangs})) as h:
        h.workflows.add("w", stage("a", timeout="30s"))
        began = trio.current_time()
        run = await h.run("w")
        assert (run.state, run.reason) == (RunState.FAILED, "timeout")
        assert 29 < trio.current_time() - began < 36


async def test_a_run_over_its_timeout_fails_and_its_tasks_are_stopped(
    autojump_clock: MockClock,
) -> None:
    async with house(FakeExecutor({"m.a": hangs})) as h:
        h.workflows.add("w", stage("a"), timeout="2m")
        run = await h.run("w")
        assert (run.state, run.reason) == (RunState.FAILED, "timeout")
        assert len(h.executor.cancelled) == 1


async def test_cancel_really_stops_the_work(autojump_clock: MockClock) -> None:
    async with house(FakeExecutor({"m.a": hangs})) as h:
        h.workflows.add("w", stage("a"), stage("b", "a"))
        run, _ = await h.runs.submit("w", RunRequest())
        await trio.sleep(1)
        await h.runs.cancel(run.name)
        ended = await h.runs.wait(run.uid, timeout_s=60)
        assert (ended.state, ended.reason) == (RunState.CANCELLED, "user")
        assert h.executor.running == 0
        again = await h.runs.cancel(run.uid)
        assert again == await h.runs.get(run.uid)


async def test_slots_priorities_and_semaphores_bound_what_runs(autojump_clock: MockClock) -> None:
    async def slow(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep(10)
        return Finished(json_value(None))

    capacity = Capacity(slots=3, cpus=3.0, custom={"wheels": 1.0})
    executor = FakeExecutor(
        {f"m.{name}": slow for name in ("a", "b", "c", "low", "high")}, capacity=capacity
    )
    async with house(executor) as h:
        wheels = {"resources": {"wheels": 1}}
        h.workflows.add("w", *(stage(name, **wheels) for name in "abc"))
        began = trio.current_time()
        await h.run("w")
        assert trio.current_time() - began >= 30
        assert executor.most_running == 1
        h.workflows.add(
            "p",
            *(stage(name) for name in "abc"),
            stage("low"),
            stage("high", priority=5),
        )
        executor.calls.clear()
        await h.run("p")
        order = [call.stage for call in executor.calls]
        assert order.index("high") < order.index("low")


async def test_what_can_never_be_had_says_so(autojump_clock: MockClock) -> None:
    async with house() as h:
        h.workflows.add("w", stage("a", resources={"gpus": 4}))
        run, _ = await h.runs.submit("w", RunRequest())
        await trio.sleep(1)
        reasons = {reason.code: reason.message for reason in await h.runs.explain(run.uid)}
        assert "gpus=4" in reasons["stage.waits_for_slot"]


async def test_the_same_key_is_the_same_run_and_another_body_a_conflict(
    autojump_clock: MockClock,
) -> None:
    async with house() as h:
        h.workflows.add("w", stage("a"))
        first, new = await h.runs.submit("w", RunRequest(), key="k", wait_s=60)
        second, again = await h.runs.submit("w", RunRequest(), key="k", wait_s=60)
        assert (new, again) == (True, False)
        assert first == second
        with pytest.raises(KeyReused):
            await h.runs.submit("w", RunRequest(input={"x": 1}), key="k")


async def test_mapped_stages_keep_order_and_list_failed_items(autojump_clock: MockClock) -> None:
    async def each(call: TaskCall, emit: Emit) -> Outcome:
        assert call.map is not None
        items = range(call.map.start, call.map.stop)
        failures = tuple(ItemFailure(i, BOOM) for i in items if i % 10 == 3)
        return Finished(
            json_value([None if i % 10 == 3 else i * i for i in items]),
            0.01,
            call.map.stop,
            failures,
        )

    executor = FakeExecutor({"m.src": finishes(list(range(100))), "m.each": each})
    async with house(executor) as h:
        more = {"type": "parameterized", "allow_partial_failure": True}
        h.workflows.add("w", stage("src"), stage("each", "src", **more))
        run = await h.run("w")
        assert (run.state, run.partial) == (RunState.FINISHED, True)
        assert run.result == [None if i % 10 == 3 else i * i for i in range(100)]
        assert run.stages[1].items is not None
        assert (run.stages[1].items.finished, run.stages[1].items.failed) == (90, 10)
        failed = await h.runs.items(run.uid, "each", state="failed")
        assert [item.index for item in failed.items] == list(range(3, 100, 10))
        page = await h.runs.items(run.uid, "each", limit=60)
        rest = await h.runs.items(run.uid, "each", cursor=page.next)
        assert [item.index for item in page.items + rest.items] == list(range(100))


async def test_items_beyond_a_page_of_failures_are_told_as_they_are(
    autojump_clock: MockClock,
) -> None:
    async def each(call: TaskCall, emit: Emit) -> Outcome:
        assert call.map is not None
        items = range(call.map.start, call.map.stop)
        bad = tuple(ItemFailure(i, BOOM) for i in items if i % 2)
        return Finished(json_value([None] * len(items)), 0.01, call.map.stop, bad)

    async with house(FakeExecutor({"m.each": each})) as h:
        more = {"type": "parameterized", "allow_partial_failure": True, "map_on": "n"}
        h.workflows.add("w", stage("each", **more))
        run = await h.run("w", n=list(range(1500)))
        cursor, states = None, []
        while True:
            page = await h.runs.items(run.uid, "each", cursor=cursor, limit=500)
            states += [item.state for item in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert states == ["finished", "failed"] * 750


async def test_a_failed_item_waits_and_is_retried_alone(autojump_clock: MockClock) -> None:
    tries: list[tuple[int, int, int]] = []

    async def each(call: TaskCall, emit: Emit) -> Outcome:
        assert call.map is not None
        tries.append((call.map.start, call.map.stop, call.attempt))
        items = range(call.map.start, call.map.stop)
        bad = tuple(ItemFailure(i, BOOM) for i in items if i == 4 and call.attempt == 1)
        value = json_value([None if i == 4 and bad else i for i in items])
        return Finished(value, 0.01, call.map.stop, bad)

    async with house(FakeExecutor({"m.each": each})) as h:
        retry = {"max_attempts": 2, "initial": "10s"}
        h.workflows.add("w", stage("each", map_on="n", type="parameterized", retry=retry))
        run = await h.run("w", n=list(range(9)))
        assert run.state is RunState.FINISHED
        assert run.result == list(range(9))
        assert tries[-1] == (4, 5, 2)


async def test_logs_progress_and_metrics_arrive_while_the_stage_runs(
    autojump_clock: MockClock,
) -> None:
    async def talks(call: TaskCall, emit: Emit) -> Outcome:
        emit(LogLine(0.0, "log", "info", "hello"))
        emit(Progress(3, 10))
        emit(MetricPoint("loss", 0.25, 1, 0.0))
        await trio.sleep(100)
        return Finished(json_value(1))

    async with house(FakeExecutor({"m.a": talks})) as h:
        h.workflows.add("w", stage("a"))
        run, _ = await h.runs.submit("w", RunRequest())
        await trio.sleep(10)
        now = await h.runs.get(run.uid)
        assert now.stages[0].state is StageState.RUNNING
        assert now.stages[0].progress == (3.0, 10.0)
        page = await h.logs.read(run.uid, LogQuery())
        assert [line.line.text for line in page.lines] == ["hello"]
        series = await h.store.get_metrics(run.uid)
        assert [(s.stage, s.name, s.points[0][:2]) for s in series] == [("a", "loss", (1, 0.25))]


async def test_watching_yields_changes_and_ends_with_the_terminal_run(
    autojump_clock: MockClock,
) -> None:
    async def slow(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep(5)
        return Finished(json_value(1))

    async with house(FakeExecutor({"m.a": slow})) as h:
        h.workflows.add("w", stage("a"))
        run, _ = await h.runs.submit("w", RunRequest())
        states = []
        async with h.runs.watch(run.uid) as snapshots:
            async for snapshot in snapshots:
                states.append(snapshot.state)
        assert states[0] is RunState.RUNNING
        assert states[-1] is RunState.FINISHED


async def test_max_runs_queues_and_the_next_starts_when_one_ends(autojump_clock: MockClock) -> None:
    async def slow(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep(10)
        return Finished(json_value(1))

    executor = FakeExecutor({"m.a": slow})
    async with house(executor) as h:
        h.workflows.add("w", stage("a"), concurrency={"max_runs": 1})
        uids = [(await h.runs.submit("w", RunRequest()))[0].uid for _ in range(3)]
        ended = [await h.runs.wait(uid, timeout_s=600) for uid in uids]
        assert [run.state for run in ended] == [RunState.FINISHED] * 3
        assert executor.most_running == 1
        starts = sorted(run.started_at for run in ended if run.started_at)
        ends = sorted(run.finished_at for run in ended if run.finished_at)
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


async def test_replace_cancels_the_open_run_and_skip_the_new_one(autojump_clock: MockClock) -> None:
    async with house(FakeExecutor({"m.a": hangs})) as h:
        h.workflows.add("r", stage("a"), concurrency={"max_runs": 1, "when_full": "replace"})
        old, _ = await h.runs.submit("r", RunRequest())
        await trio.sleep(1)
        new, _ = await h.runs.submit("r", RunRequest())
        ended = await h.runs.wait(old.uid, timeout_s=60)
        assert (ended.state, ended.reason) == (RunState.CANCELLED, "replaced")
        await trio.sleep(10)
        assert (await h.runs.get(new.uid)).state is RunState.RUNNING
        h.workflows.add("s", stage("a"), concurrency={"max_runs": 1, "when_full": "skip"})
        await h.runs.submit("s", RunRequest())
        skipped, _ = await h.runs.submit("s", RunRequest())
        assert (skipped.state, skipped.reason) == (RunState.CANCELLED, "skipped")


async def test_a_retry_takes_over_what_finished_and_runs_the_rest(
    autojump_clock: MockClock,
) -> None:
    broken = True

    async def sometimes(call: TaskCall, emit: Emit) -> Outcome:
        return Failed(BOOM) if broken else Finished(json_value(call.run.input.data.decode()))

    executor = FakeExecutor({"m.a": finishes(7), "m.b": sometimes})
    async with house(executor) as h:
        h.workflows.add("w", stage("a"), stage("b", "a"))
        failed = await h.run("w", x=1)
        broken = False
        executor.calls.clear()
        run, _ = await h.runs.retry(failed.uid, RetryRequest())
        again = await h.runs.wait(run.uid, timeout_s=60)
        assert (again.state, again.parent) == (RunState.FINISHED, failed.uid)
        assert [call.stage for call in executor.calls] == ["b"]
        assert again.stages[0].inherited
        edited, _ = await h.runs.retry(failed.uid, RetryRequest(input={"x": 2}))
        whole = await h.runs.wait(edited.uid, timeout_s=60)
        assert whole.result == '{"x":2}'
        assert not whole.stages[0].inherited


async def test_a_retry_of_a_partial_run_runs_what_stood_on_the_gaps_again(
    autojump_clock: MockClock,
) -> None:
    broken = True

    async def all_but_one(call: TaskCall, emit: Emit) -> Outcome:
        assert call.map is not None
        start, stop = call.map.start, call.map.stop
        values: list[object] = list(range(start, stop))
        failures: tuple[ItemFailure, ...] = ()
        if broken and start <= 1 < stop:
            values[1 - start], failures = None, (ItemFailure(1, BOOM),)
        return Finished(json_value(values), 0.001, stop, failures)

    executor = FakeExecutor({"m.a": all_but_one})
    async with house(executor) as h:
        mapped = {"type": "parameterized"}
        first = stage("a", map_on="n", allow_partial_failure=True, **mapped)
        h.workflows.add("w", first, stage("b", "a", **mapped), stage("c", "b"))
        partial = await h.run("w", n=[0, 1, 2])
        assert (partial.state, partial.partial) == (RunState.FINISHED, True)
        broken = False
        executor.calls.clear()
        run, _ = await h.runs.retry(partial.uid, RetryRequest())
        assert (await h.runs.wait(run.uid, timeout_s=60)).state is RunState.FINISHED
        ran = [
            (call.stage, index)
            for call in executor.calls
            for index in (range(call.map.start, call.map.stop) if call.map else [0])
        ]
        # Two slots: which of their bodies begins first is chance.
        assert sorted(ran) == [("a", 1), ("b", 0), ("b", 1), ("b", 2), ("c", 0)]


async def test_a_retry_from_a_stage_runs_it_and_what_depends_on_it(
    autojump_clock: MockClock,
) -> None:
    executor = FakeExecutor()
    async with house(executor) as h:
        h.workflows.add("w", stage("a"), stage("b", "a"), stage("c", "b"), stage("d", "a"))
        done = await h.run("w", x=1)
        executor.calls.clear()
        run, _ = await h.runs.retry(done.uid, RetryRequest(start_from="b", input={"x": 2}))
        again = await h.runs.wait(run.uid, timeout_s=60)
        assert [call.stage for call in executor.calls] == ["b", "c"]
        assert [s.name for s in again.stages if s.inherited] == ["a", "d"]
        assert again.input == {"x": 2}
        with pytest.raises(InvalidInput, match="no stage 'nowhere'"):
            await h.runs.retry(done.uid, RetryRequest(start_from="nowhere"))


async def test_an_edited_input_must_fit_the_schema_too(autojump_clock: MockClock) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    async with house() as h:
        h.workflows.add("w", stage("a"), input_schema=schema)
        run = await h.run("w", x=1)
        with pytest.raises(InvalidInput) as caught:
            await h.runs.retry(run.uid, RetryRequest(input={"x": "one"}))
        assert caught.value.exact_code == "run.invalid_input"


async def test_an_open_run_can_be_neither_retried_nor_deleted(autojump_clock: MockClock) -> None:
    async with house(FakeExecutor({"m.a": hangs})) as h:
        h.workflows.add("w", stage("a"))
        run, _ = await h.runs.submit("w", RunRequest())
        with pytest.raises(RunNotTerminal):
            await h.runs.retry(run.uid, RetryRequest())
        with pytest.raises(RunNotTerminal):
            await h.runs.delete(run.uid)


async def test_a_lost_worker_is_retried_and_three_times_is_a_crash(
    autojump_clock: MockClock,
) -> None:
    async def dies(call: TaskCall, emit: Emit) -> Outcome:
        return Lost("killed", ErrorInfo("flowdapt.WorkerDied", "signal 9"))

    executor = FakeExecutor({"m.a": dies})
    async with house(executor) as h:
        h.workflows.add("w", stage("a"))
        run = await h.run("w")
        assert (run.reason, len(executor.calls)) == ("stage_crashed", 3)


async def test_the_runs_of_a_dead_owner_go_on_where_they_stood(autojump_clock: MockClock) -> None:
    store = MemoryStore(FakeClock())
    first = FakeExecutor({"m.a": finishes(1), "m.b": hangs})
    async with house(first, store=store, owner="one") as h:
        h.workflows.add("w", stage("a"), stage("b", "a"))
        run, _ = await h.runs.submit("w", RunRequest())
        await trio.sleep(1)
    second = FakeExecutor({"m.b": finishes(2)})
    async with house(second, store=store, owner="two") as h:
        ended = await h.runs.wait(run.uid, timeout_s=60)
        assert (ended.state, ended.result) == (RunState.FINISHED, 2)
        assert [call.stage for call in second.calls] == ["b"]
        assert second.calls[0].epoch == 2


async def test_a_drain_lets_running_stages_end_and_gives_the_rest_back(
    autojump_clock: MockClock,
) -> None:
    async def slow(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep(10)
        return Finished(json_value(1))

    store = MemoryStore(FakeClock())
    executor = FakeExecutor({"m.a": slow, "m.hang": hangs})
    async with house(executor, store=store) as h:
        h.workflows.add("w", stage("a"), stage("b", "a"))
        h.workflows.add("h", stage("hang"))
        run, _ = await h.runs.submit("w", RunRequest())
        hung, _ = await h.runs.submit("h", RunRequest())
        await trio.sleep(1)
        await h.compute.drain(60)
        stages = {s.name: s.state for s in (await h.runs.get(run.uid)).stages}
        assert stages == {"a": StageState.FINISHED, "b": StageState.PENDING}
        assert (await h.runs.get(hung.uid)).stages[0].state is StageState.PENDING
        assert (await store.get_run(run.uid)).owner is None
    async with house(store=store, owner="two") as h:
        for uid in (run.uid, hung.uid):
            assert (await h.runs.wait(uid, timeout_s=60)).state is RunState.FINISHED
        assert (await h.runs.get(hung.uid)).stages[0].losses == 0


async def test_news_during_a_slow_commit_wait_without_spinning(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowStore(MemoryStore):
        async def commit(self, change: RunChange) -> None:
            await trio.sleep(10)
            await super().commit(change)

    async def one(call: TaskCall, emit: Emit) -> Outcome:
        await trio.sleep({"a": 0.01, "b": 5, "c": 6}[call.stage])
        return Finished(json_value(1))

    turns = 0
    whole_turn = RunDriver._turn

    async def counted(self: RunDriver, *, go_on: bool = False) -> object:
        nonlocal turns
        turns += 1
        assert turns < 100, "the driver spins"
        return await whole_turn(self, go_on=go_on)

    monkeypatch.setattr(RunDriver, "_turn", counted)
    executor = FakeExecutor({f"m.{name}": one for name in "abc"}, slots=3)
    async with house(executor, store=SlowStore(FakeClock())) as h:
        h.workflows.add("w", *(stage(name) for name in "abc"), stage("d", "a"))
        run, _ = await h.runs.submit("w", RunRequest())
        await trio.sleep(8)
        await h.runs.cancel(run.uid)
        ended = await h.runs.wait(run.uid, timeout_s=600)
        assert ended.state is RunState.CANCELLED


async def test_a_lost_wake_up_costs_at_most_a_poll(autojump_clock: MockClock) -> None:
    async with house() as h:
        h.workflows.add("w", stage("a"), concurrency={"max_runs": 5})
        h.broker.publish = lambda message: None  # type: ignore[method-assign]
        run, _ = await h.runs.submit("w", RunRequest())
        await trio.sleep(5.5)
        assert (await h.runs.get(run.uid)).state is RunState.FINISHED


async def test_a_run_on_an_executor_that_does_not_exist_fails_visibly(
    autojump_clock: MockClock,
) -> None:
    async with house() as h:
        h.workflows.add("w", stage("a"))
        elsewhere = Runs(
            store=h.store,
            broker=h.broker,
            values=MemoryValues(),
            logs=h.logs,
            clock=h.clock,
            catalog=h.workflows,
            executors=GivenExecutors({"mars": FakeExecutor()}),
        )
        run, _ = await elsewhere.submit("w", RunRequest(executor="mars"))
        await trio.sleep(6)
        ended = await h.runs.get(run.uid)
        assert (ended.state, ended.reason) == (RunState.FAILED, "internal")
        assert ended.error is not None
        assert "mars" in ended.error.message


async def test_a_submission_to_an_executor_that_does_not_exist_is_refused(
    autojump_clock: MockClock,
) -> None:
    async with house() as h:
        h.workflows.add("w", stage("a"))
        with pytest.raises(NotFound, match="mars") as refused:
            await h.runs.submit("w", RunRequest(executor="mars"))
        assert refused.value.exact_code == "executor.not_found"
        assert not (await h.runs.list_(RunFilter())).items


async def test_a_run_that_waits_for_disk_says_so(autojump_clock: MockClock) -> None:
    room = [False]
    async with house(has_room=lambda: room[0]) as h:
        h.workflows.add("w", stage("a"), concurrency={"max_runs": 1})
        run, _ = await h.runs.submit("w", RunRequest())
        reason = (await h.runs.explain(run.uid))[0]
        assert (reason.code, reason.fix) == ("run.held", "flowdapt status")
        assert "storage.min_free" in reason.message
        room[0] = True
        await trio.sleep(6)
        assert (await h.runs.explain(run.uid))[0].code == "run.finished"


async def test_open_runs_are_listed_by_state(autojump_clock: MockClock) -> None:
    async with house(FakeExecutor({"m.a": hangs})) as h:
        h.workflows.add("w", stage("a"))
        await h.runs.submit("w", RunRequest())
        where = RunFilter(states=frozenset({"running"}))
        assert len((await h.runs.list_(where)).items) == 1


# --- results that stay with the executor ------------------------------------------------------------


class KeepingExecutor(FakeExecutor):
    """Keeps results of 10 MB under handles, as a cluster does; `lose` drops them all."""

    def __init__(self, bodies: dict[str, Any] | None = None) -> None:
        super().__init__(bodies)
        self.live: set[str] = set()
        self.names: list[str] = []
        self.may_store = trio.Event()

    def lose(self) -> None:
        self.live.clear()

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        dead = tuple(
            ref.handle for ref in call.args if ref.kind == "cluster" and ref.handle not in self.live
        )
        if dead:
            self.calls.append(call)
            return Lost("input_gone", ErrorInfo("x.Gone", "an input is gone"), missing=dead)
        outcome = await super().execute(call, emit)
        if isinstance(outcome, Finished) and call.store_max_bytes < 10**7:
            handle = f"{call.task_key}/{len(self.calls)}"
            self.live.add(handle)
            size = outcome.value.length
            kept = ValueRef("cluster", "pickle", size_bytes=10**7, length=size, handle=handle)
            return Finished(kept)
        return outcome

    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        await self.may_store.wait()
        if ref.handle not in self.live:
            raise MissingObject(f"{ref.handle} is gone")
        self.names.append(name)
        return replace(ref, kind="file", location=f"{name}.pickle")


def chain() -> tuple[dict[str, Any], ...]:
    return (
        {"name": "make", "target": "m.make"},
        {"name": "use", "target": "m.use", "depends_on": ["make"]},
        {"name": "last", "target": "m.last", "depends_on": ["make", "use"]},
    )


async def test_a_large_result_is_stored_while_its_dependants_go_on(
    autojump_clock: MockClock,
) -> None:
    used, go_on = trio.Event(), trio.Event()

    async def use(call: TaskCall, emit: Emit) -> Outcome:
        used.set()
        await go_on.wait()
        return Finished(json_value(1))

    executor = KeepingExecutor({"m.use": use})
    async with house(executor) as here:
        here.workflows.add("w", *chain())
        run, _ = await here.runs.submit("w", RunRequest())
        await used.wait()  # although nothing is stored yet
        executor.may_store.set()
        await trio.sleep(1)
        loaded = await here.store.load_run(run.uid)
        assert {s.name: s.result and s.result.kind for s in loaded.stages}["make"] == "file"
        go_on.set()
        await trio.sleep(1)
        assert executor.names[0] == f"{run.uid}/make.1.1"
        assert (await here.runs.get(run.uid)).state is RunState.FINISHED


async def test_what_was_not_stored_is_made_again_when_the_executor_lost_it(
    autojump_clock: MockClock,
) -> None:
    executor = KeepingExecutor()

    async def use(call: TaskCall, emit: Emit) -> Outcome:
        if call.args[0].handle.endswith("/1"):
            executor.lose()
        return Finished(json_value(1))

    executor.bodies["m.use"] = use
    async with house(executor) as here:
        here.workflows.add("w", *chain())
        run = await here.run("w")
        assert run.state is RunState.FINISHED
        stages = [call.stage for call in executor.calls]
        assert stages.count("make") == 2
        assert [stage.losses for stage in run.stages] == [0, 0, 0]
        assert await here.store.check() == []


async def test_a_checkpoint_policy_of_never_stores_nothing_and_always_waits(
    autojump_clock: MockClock,
) -> None:
    executor = KeepingExecutor()
    executor.may_store.set()
    async with house(executor) as here:
        first, second, last = chain()
        here.workflows.add(
            "w", {**first, "checkpoint": "never"}, {**second, "checkpoint": "always"}, last
        )
        await here.run("w")
        limits = {call.stage: call.store_max_bytes for call in executor.calls}
        assert limits["make"] == 0
        assert limits["use"] == limits["last"] > 10**15
        assert executor.names == []
