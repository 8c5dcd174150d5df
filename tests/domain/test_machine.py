"""The run machine, held to the invariants under random graphs, outcomes and restarts."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from flowdapt.domain.handles import only_held
from flowdapt.domain.ledger import RESULT_GONE, Step, Task
from flowdapt.domain.machine import RunMachine
from flowdapt.domain.records import RunRecord, StageRecord, TaskRecord
from flowdapt.domain.retry import MAX_RECOVERIES, TIMEOUT
from flowdapt.domain.run import RunState, StageState, StageType
from flowdapt.domain.task import (
    Cancelled,
    ErrorInfo,
    Failed,
    Finished,
    ItemFailure,
    Lost,
    Outcome,
    ValueRef,
)
from flowdapt.domain.workflow import WorkflowSpec

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BOOM = ErrorInfo("builtins.ValueError", "boom", bases=("builtins.Exception",))
LOST = Lost("killed", ErrorInfo("flowdapt.WorkerDied", "killed by signal 9"))


def value(length: int | None = None, data: bytes = b"1") -> ValueRef:
    return ValueRef(kind="inline", data=data, size_bytes=len(data), length=length)


def held(handle: str, length: int | None = None) -> ValueRef:
    return ValueRef("cluster", "pickle", length=length, handle=handle)


class Bench:
    """A machine with a clock that only moves when told, and everything it ever wrote."""

    def __init__(self, *stages: dict[str, object], lengths: dict[str, int] | None = None) -> None:
        self.spec = WorkflowSpec.model_validate({"stages": list(stages)})
        self.lengths = lengths or {}
        self.now = T0
        self.run = RunRecord(
            uid="r" * 32,
            name="bold-cat-00000000",
            workflow="w",
            revision=1,
            state=RunState.RUNNING,
            source="api",
            namespace="default",
            executor="local",
            definition="{}",
            config="{}",
            input=value(),
            created_at=T0,
            started_at=T0,
            epoch=1,
            next_seq=2,
        )
        self.stages = [StageRecord(s.name, i, s.type) for i, s in enumerate(self.spec.stages)]
        self.tasks: list[TaskRecord] = []
        self.items: dict[tuple[str, int], object] = {}
        self.seqs: list[int] = [1]
        self.events: list[str] = []
        self.ready: list[Task] = []
        self.keeps = False
        self.kept = 0
        self.alive: set[str] = set()
        self.machine = self._machine()
        self.machine.begin(self.now)
        self.perform()

    def _machine(self) -> RunMachine:
        return RunMachine(
            self.run,
            self.stages,
            self.spec,
            parallelism=2,
            lengths=self.lengths.get,
            chance=lambda: 0.5,
            tasks=self.tasks,
            items=list(self.items.values()),  # type: ignore[arg-type]
        )

    def perform(self) -> Step:
        step = self.machine.step()
        change = step.change
        self.tasks += change.tasks
        for item in change.items:
            self.items[item.stage, item.index] = item
        self.seqs += range(change.first_seq, change.first_seq + len(change.events))
        self.events += [event.type.rsplit(".", 1)[-1] for event in change.events]
        for task in step.stop:
            if task in self.ready:
                self.ready.remove(task)
                self.machine.ended(task, Cancelled(), self.now, self.now)
        self.ready += [t for t in step.at_once + step.start if t not in step.stop]
        if step.stop:
            self.perform()
        return step

    def end(self, task: Task, outcome: Outcome) -> None:
        self.ready.remove(task)
        self.machine.ended(task, outcome, self.now, self.now)
        self.perform()

    def end_stage(self, name: str, outcome: Outcome) -> None:
        self.end(next(task for task in self.ready if task.stage == name), outcome)

    def restart(self) -> None:
        """Forget everything but the rows, as a new owner does."""
        self.run = copy.copy(self.machine.run)
        self.run.epoch += 1
        self.stages = [copy.copy(stage) for stage in self.machine.stages.values()]
        self.tasks.sort(key=lambda task: (task.stage, task.start, task.attempt))
        self.ready = []
        self.alive.clear()
        self.machine = self._machine()
        self.machine.begin(self.now)
        self.perform()

    def result(self, length: int | None = None) -> ValueRef:
        """Return a value as stages do here: inline, or with the executor only."""
        if not self.keeps:
            return value(length)
        self.kept += 1
        handle = f"h{self.kept}"
        self.alive.add(handle)
        return held(handle, length)

    def gone(self, task: Task) -> tuple[str, ...]:
        """Return the handles of the task's inputs that are dead."""
        spec = next(stage for stage in self.spec.stages if stage.name == task.stage)
        results = [self.machine.stages[name].result for name in spec.depends_on]
        handles = [h for ref in results if ref is not None for h in only_held(ref)]
        return tuple(handle for handle in handles if handle not in self.alive)

    def state(self, name: str) -> StageState:
        return self.machine.stages[name].state


def simple(name: str, *depends_on: str, **more: object) -> dict[str, object]:
    return {"name": name, "target": "m.f", "depends_on": list(depends_on), **more}


def mapped(name: str, *depends_on: str, **more: object) -> dict[str, object]:
    return simple(name, *depends_on, type="parameterized", **more)


def slice_of(task: Task, *failures: int) -> Finished:
    failed = tuple(ItemFailure(i, BOOM) for i in failures if task.start <= i < task.stop)
    return Finished(value(task.stop - task.start), 0.001, task.stop, failed)


def test_a_stage_starts_when_its_own_dependencies_are_finished_without_a_barrier() -> None:
    bench = Bench(simple("a"), simple("slow"), simple("b", "a"))
    bench.end_stage("a", Finished(value()))
    assert {task.stage for task in bench.ready} == {"slow", "b"}


def test_the_leaf_gives_the_result_and_several_leaves_a_mapping() -> None:
    one = Bench(simple("a"), simple("b", "a"))
    one.end_stage("a", Finished(value(data=b"1")))
    one.end_stage("b", Finished(value(data=b"2")))
    assert one.run.state is RunState.FINISHED
    assert one.run.result == value(data=b"2")
    two = Bench(simple("a"), simple("b"))
    two.end_stage("a", Finished(value(data=b"1")))
    two.end_stage("b", Finished(value(data=b'"x"')))
    assert two.run.result is not None
    assert two.run.result.data == b'{"a":1,"b":"x"}'


def test_a_failed_stage_skips_its_dependants_and_lets_other_branches_end() -> None:
    bench = Bench(simple("bad"), simple("below", "bad"), simple("lower", "below"), simple("other"))
    bench.end_stage("bad", Failed(BOOM))
    assert bench.state("lower") is StageState.SKIPPED
    assert bench.run.state is RunState.RUNNING
    bench.end_stage("other", Finished(value()))
    assert (bench.run.state, bench.run.reason) == (RunState.FAILED, "stage_failed")
    assert bench.run.error is not None
    assert bench.run.error.stage == "bad"


def test_a_retry_stores_the_next_instant_and_waits_for_it() -> None:
    bench = Bench(simple("a", retry={"max_attempts": 2, "initial": 10}))
    bench.end_stage("a", Failed(BOOM))
    assert bench.state("a") is StageState.RETRYING
    assert bench.machine.next_due() == T0 + timedelta(seconds=5)
    bench.now += timedelta(seconds=5)
    bench.machine.due(bench.now)
    bench.perform()
    assert bench.ready == [Task("a", 0, 1, 2)]
    bench.end_stage("a", Failed(BOOM))
    assert bench.run.state is RunState.FAILED


def test_a_waiting_retry_survives_a_restart_with_its_instant_and_its_count() -> None:
    bench = Bench(simple("a", retry={"max_attempts": 2, "initial": 10}))
    bench.end_stage("a", Failed(BOOM))
    bench.restart()
    assert bench.ready == []
    bench.now += timedelta(seconds=6)
    bench.machine.due(bench.now)
    bench.perform()
    assert bench.ready == [Task("a", 0, 1, 2)]


@pytest.mark.parametrize("kind", ["flowdapt.BadBinding", "builtins.ValueError"])
def test_what_cannot_get_better_is_not_retried(kind: str) -> None:
    bench = Bench(simple("a", retry={"max_attempts": 9, "no_retry_on": ["ValueError"]}))
    retryable = kind == "builtins.ValueError"
    bench.end_stage("a", Failed(ErrorInfo(kind, "no", retryable=retryable)))
    assert bench.run.state is RunState.FAILED


def test_three_losses_crash_a_stage_and_its_neighbour_is_untouched() -> None:
    bench = Bench(simple("poison"), simple("innocent"))
    for _ in range(3):
        bench.end_stage("poison", LOST)
    assert bench.machine.stages["poison"].reason == "stage_crashed"
    bench.end_stage("innocent", Finished(value()))
    innocent = bench.machine.stages["innocent"]
    assert (innocent.losses, innocent.attempt) == (0, 1)
    assert bench.run.reason == "stage_crashed"


def test_losses_are_counted_across_restarts_and_restarts_are_not_losses() -> None:
    bench = Bench(simple("poison"), simple("innocent"))
    bench.end_stage("poison", LOST)
    bench.restart()
    bench.end_stage("poison", LOST)
    bench.restart()
    bench.end_stage("poison", LOST)
    assert bench.machine.stages["poison"].reason == "stage_crashed"
    assert bench.machine.stages["innocent"].losses == 0


def test_a_stage_that_kills_its_daemon_for_ever_is_crashed_at_last() -> None:
    bench = Bench(simple("a"))
    for _ in range(40):
        if bench.run.state.terminal:
            break
        bench.machine.started(bench.ready[0], bench.now)
        bench.perform()
        bench.restart()
    assert bench.machine.stages["a"].reason == "stage_crashed"


def test_each_loss_is_told_and_the_daemon_s_death_too() -> None:
    bench = Bench(simple("a"))
    bench.end_stage("a", LOST)
    assert bench.events == ["stage_lost"]
    bench.machine.started(bench.ready[0], bench.now)
    bench.perform()
    bench.restart()
    assert bench.events == ["stage_lost", "stage_lost"]


def test_on_lost_fail_does_not_try_again() -> None:
    bench = Bench(simple("a", on_lost="fail"))
    bench.end_stage("a", LOST)
    assert bench.machine.stages["a"].reason == "stage_crashed"


def test_a_finished_stage_is_not_run_again_after_a_restart() -> None:
    bench = Bench(simple("a"), simple("b", "a"))
    bench.end_stage("a", Finished(value()))
    bench.restart()
    assert [task.stage for task in bench.ready] == ["b"]


def test_a_map_keeps_positions_and_lists_failed_items_when_partial_failure_is_allowed() -> None:
    bench = Bench(simple("src"), mapped("m", "src", allow_partial_failure=True))
    bench.end_stage("src", Finished(value(length=5)))
    while bench.ready:
        bench.end(bench.ready[0], slice_of(bench.ready[0], 1, 3))
    record = bench.machine.stages["m"]
    assert (record.items_total, record.items_finished, record.items_failed) == (5, 3, 2)
    assert (bench.run.state, bench.run.partial) == (RunState.FINISHED, True)
    assert {index for _, index in bench.items} == {1, 3}


def test_one_failing_item_fails_the_stage_unless_allowed() -> None:
    bench = Bench(simple("src"), mapped("m", "src"))
    bench.end_stage("src", Finished(value(length=5)))
    while bench.ready:
        bench.end(bench.ready[0], slice_of(bench.ready[0], 3))
    assert bench.run.state is RunState.FAILED
    assert bench.run.error is not None
    assert (bench.run.error.stage, bench.run.error.index) == ("m", 3)


def test_a_failed_item_is_retried_alone() -> None:
    bench = Bench(
        mapped("m", map_on="k", retry={"max_attempts": 2, "initial": 2}), lengths={"k": 4}
    )
    first = bench.ready[0]
    while bench.ready:
        bench.end(bench.ready[0], slice_of(bench.ready[0], first.start))
    bench.now += timedelta(seconds=2)
    bench.machine.due(bench.now)
    bench.perform()
    assert bench.ready == [Task("m", first.start, first.start + 1, 2)]
    bench.end(bench.ready[0], slice_of(bench.ready[0]))
    assert (bench.run.state, bench.run.partial) == (RunState.FINISHED, False)


def test_a_chunk_that_kills_its_worker_is_halved_until_the_culprit_stands_alone() -> None:
    bench = Bench(mapped("m", map_on="k", allow_partial_failure=True), lengths={"k": 100})
    for _ in range(1000):
        if not bench.ready:
            break
        task = bench.ready[0]
        bench.end(task, LOST if task.start <= 37 < task.stop else slice_of(task))
    assert set(bench.machine.maps["m"].progress.failed) == {37}
    assert bench.machine.stages["m"].items_finished == 99
    assert bench.run.partial


def test_a_chunk_over_the_timeout_is_halved_and_the_item_alone_fails() -> None:
    bench = Bench(mapped("m", map_on="k", allow_partial_failure=True), lengths={"k": 16})
    hung = Failed(ErrorInfo(TIMEOUT, "stopped"))
    for _ in range(1000):
        if not bench.ready:
            break
        task = bench.ready[0]
        bench.end(task, hung if task.start <= 5 < task.stop else slice_of(task))
    assert set(bench.machine.maps["m"].progress.failed) == {5}


def test_only_chunks_without_a_committed_result_run_again_after_a_restart() -> None:
    bench = Bench(mapped("m", map_on="k"), lengths={"k": 1000})
    done: list[range] = []
    for _ in range(3):
        task = bench.ready[0]
        done.append(range(task.start, task.stop))
        bench.end(task, slice_of(task))
    bench.restart()
    while bench.ready:
        task = bench.ready[0]
        assert not any(r.start < task.stop and task.start < r.stop for r in done)
        bench.end(task, slice_of(task))
    assert bench.run.state is RunState.FINISHED
    assert bench.machine.stages["m"].items_finished == 1000


def test_an_empty_map_finishes_and_what_is_no_list_fails_with_words() -> None:
    empty = Bench(mapped("m", map_on="k"), lengths={"k": 0})
    assert empty.run.state is RunState.FINISHED
    none = Bench(mapped("m", map_on="k"))
    assert none.run.error is not None
    assert "no list" in none.run.error.message


def test_items_unfinished_at_the_budget_come_back() -> None:
    bench = Bench(mapped("m", map_on="k"), lengths={"k": 10})
    seen: list[int] = []
    while bench.ready:
        task = bench.ready[0]
        seen.append(task.start)
        bench.end(task, Finished(value(1), 0.5, task.start + 1))
    assert sorted(seen) == list(range(10))
    assert bench.run.state is RunState.FINISHED


def test_cancel_stops_open_tasks_and_ends_when_they_have() -> None:
    bench = Bench(simple("a"), simple("b", "a"))
    bench.machine.cancel("user", bench.now)
    bench.perform()
    assert (bench.run.state, bench.run.reason) == (RunState.CANCELLED, "user")
    assert bench.state("b") is StageState.CANCELLED
    assert bench.events.count("workflow_cancelling") == 1
    assert bench.events.count("workflow_finished") == 1


def test_a_cancel_goes_on_after_a_restart() -> None:
    bench = Bench(simple("a"))
    bench.run.cancel_requested_at, bench.run.cancel_reason = bench.now, "user"
    bench.restart()
    assert bench.run.state is RunState.CANCELLED


def test_the_timeout_of_a_run_fails_it_with_its_reason() -> None:
    bench = Bench(simple("a"))
    bench.machine.cancel("timeout", bench.now)
    bench.perform()
    assert (bench.run.state, bench.run.reason) == (RunState.FAILED, "timeout")
    assert bench.run.error is not None


# --- results that only the executor had -----------------------------------------------------------


def test_a_stage_whose_only_result_is_gone_runs_again_and_then_who_needs_it() -> None:
    bench = Bench(simple("a"), simple("b", "a"))
    bench.end_stage("a", Finished(held("h1")))
    bench.end_stage("b", replace(LOST, missing=("h1",)))
    assert bench.ready == [Task("a", 0, 1, 1)]
    assert (bench.state("a"), bench.state("b")) == (StageState.PENDING, StageState.PENDING)
    bench.end_stage("a", Finished(held("h2")))
    assert bench.ready == [Task("b", 0, 1, 1)]
    bench.end_stage("b", Finished(value()))
    assert bench.run.state is RunState.FINISHED
    assert bench.machine.stages["b"].losses == 0
    assert [task.reason for task in bench.tasks if task.stage == "a"] == [None, RESULT_GONE, None]


def test_what_was_stored_in_the_meantime_is_not_made_again() -> None:
    bench = Bench(simple("a"), simple("b", "a"))
    bench.end_stage("a", Finished(held("h1")))
    stored = replace(held("h1"), kind="file", location="r/a.1.1.pickle")
    bench.machine.stored("a", held("h1"), stored)
    step = bench.perform()
    assert [stage.result for stage in step.change.stages] == [stored]
    bench.machine.stored("a", held("older"), held("h9"))
    assert bench.machine.stages["a"].result == stored


def test_only_the_lost_part_of_a_map_runs_again() -> None:
    bench = Bench(mapped("m", map_on="k"), simple("b", "m"), lengths={"k": 8})
    for number in range(8):
        if not bench.ready or bench.ready[0].stage != "m":
            break
        task = bench.ready[0]
        size = task.stop - task.start
        bench.end(task, Finished(held(f"h{number}", size), 0.001, task.stop))
    parts = bench.machine.stages["m"].result.parts  # type: ignore[union-attr]
    lost = parts[1]
    bench.end_stage("b", replace(LOST, missing=(lost.value.handle,)))
    assert {i for t in bench.ready for i in range(t.start, t.stop)} == set(
        range(lost.start, lost.stop)
    )
    while bench.ready and bench.ready[0].stage == "m":
        task = bench.ready[0]
        bench.end(task, Finished(value(task.stop - task.start), 0.001, task.stop))
    bench.end_stage("b", Finished(value()))
    assert bench.run.state is RunState.FINISHED
    assert bench.machine.stages["m"].items_finished == 8


def test_slices_wait_until_the_lost_input_is_there_again() -> None:
    bench = Bench(simple("a"), mapped("m", "a"))
    bench.end_stage("a", Finished(held("h1", 20)))
    first, second = bench.ready
    bench.end(first, replace(LOST, missing=("h1",)))
    bench.end(second, replace(LOST, missing=("h1",)))
    assert [task.stage for task in bench.ready] == ["a"]
    bench.end_stage("a", Finished(value(20)))
    while bench.ready:
        task = bench.ready[0]
        bench.end(task, Finished(value(task.stop - task.start), 0.001, task.stop))
    assert bench.run.state is RunState.FINISHED
    assert bench.machine.stages["m"].items_finished == 20


def test_a_list_that_comes_out_longer_when_made_again_is_not_mixed_with_the_old_one() -> None:
    bench = Bench(simple("a"), mapped("m", "a"))
    bench.end_stage("a", Finished(held("h1", 20)))
    first, second = bench.ready
    bench.end(first, Finished(value(first.stop), 0.001, first.stop))
    bench.end(second, replace(LOST, missing=("h1",)))
    bench.end_stage("a", Finished(value(21)))
    error = bench.machine.stages["m"].error
    assert error is not None
    assert error.type == "flowdapt.InputChanged"
    assert "21 items now, not 20" in error.message


def test_a_result_that_cannot_be_made_again_ends_who_waits_for_it() -> None:
    bench = Bench(simple("a"), mapped("m", "a"), simple("c", "m"))
    bench.end_stage("a", Finished(held("h1", 20)))
    first, second = bench.ready
    bench.end(first, replace(LOST, missing=("h1",)))
    bench.end_stage("a", Failed(BOOM))
    assert bench.state("m") is StageState.CANCELLED
    assert bench.state("c") is StageState.SKIPPED
    assert second not in bench.machine.open
    assert bench.run.state is RunState.FAILED


def test_a_result_that_is_lost_for_ever_fails_at_last() -> None:
    bench = Bench(simple("a"), simple("b", "a"))
    for number in range(MAX_RECOVERIES):
        bench.end_stage("a", Finished(held(f"h{number}")))
        bench.end_stage("b", replace(LOST, missing=(f"h{number}",)))
    assert bench.state("a") is StageState.FAILED
    assert bench.machine.stages["a"].reason == "stage_crashed"
    assert bench.run.state is RunState.FAILED


def test_a_handle_that_no_dependency_has_is_a_loss_like_any_other() -> None:
    bench = Bench(simple("a"), simple("b", "a"))
    bench.end_stage("a", Finished(held("h1")))
    for _ in range(3):
        bench.end_stage("b", replace(LOST, missing=("h7",)))
    assert bench.machine.stages["b"].reason == "stage_crashed"


# --- everything at once ---------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> list[dict[str, object]]:
    stages: list[dict[str, object]] = []
    for at in range(draw(st.integers(1, 7))):
        above = draw(st.lists(st.sampled_from(range(at)), unique=True, max_size=3)) if at else []
        more: dict[str, object] = {
            "retry": {"max_attempts": draw(st.integers(1, 3)), "initial": 1},
            "on_lost": draw(st.sampled_from(["retry", "retry", "fail"])),
        }
        kind = "simple"
        if draw(st.booleans()):
            kind = "parameterized"
            more["allow_partial_failure"] = draw(st.booleans())
            if not above or draw(st.booleans()):
                more["map_on"] = "k"
        stages.append(simple(f"s{at}", *(f"s{i}" for i in above), type=kind, **more))
    return stages


@settings(max_examples=300, deadline=None)
@given(graphs(), st.data())
def test_every_run_ends_and_keeps_its_invariants(
    stages: list[dict[str, object]], data: st.DataObject
) -> None:
    bench = Bench(*stages, lengths={"k": data.draw(st.integers(0, 40))})
    bench.keeps = data.draw(st.booleans())
    cancelled = False
    for _ in range(2000):
        if bench.run.state.terminal:
            break
        action = data.draw(
            st.sampled_from(["ok", "ok", "ok", "fail", "lose", "gone", "restart", "cancel", "tick"])
        )
        if action == "restart":
            bench.restart()
        elif action == "gone":
            bench.alive -= set(data.draw(st.lists(st.sampled_from(sorted(bench.alive) or [""]))))
        elif action == "cancel" and data.draw(st.integers(0, 9)) == 0:
            cancelled = True
            bench.machine.cancel("user", bench.now)
            bench.perform()
        elif bench.ready and action != "tick":
            task = data.draw(st.sampled_from(bench.ready))
            bench.end(task, _outcome(bench, task, action, data))
        else:
            bench.now += timedelta(seconds=3)
            bench.machine.due(bench.now)
            bench.perform()
        _check(bench)
    else:
        pytest.fail("the run did not end")
    assert bench.events.count("workflow_finished") == 1
    assert bench.seqs == list(range(1, len(bench.seqs) + 1))
    if bench.run.state is RunState.CANCELLED:
        assert cancelled


def _outcome(bench: Bench, task: Task, action: str, data: st.DataObject) -> Outcome:
    if gone := bench.gone(task):
        return replace(LOST, missing=gone)
    if action == "fail":
        return Failed(BOOM)
    if action == "lose":
        return LOST
    if bench.machine.stages[task.stage].type is StageType.SIMPLE:
        return Finished(bench.result(data.draw(st.integers(0, 30))))
    reached = data.draw(st.integers(task.start + 1, task.stop))
    failures = data.draw(st.lists(st.integers(task.start, reached - 1), unique=True, max_size=2))
    return Finished(
        bench.result(reached - task.start),
        0.01,
        reached,
        tuple(ItemFailure(i, BOOM) for i in failures),
    )


def _check(bench: Bench) -> None:
    stages = bench.machine.stages
    for spec in bench.spec.stages:
        record = stages[spec.name]
        if record.state in (StageState.RUNNING, StageState.FINISHED, StageState.RETRYING):
            assert all(
                stages[d].state is StageState.FINISHED or stages[d].recoveries
                for d in spec.depends_on
            )
        if record.state is StageState.FINISHED and record.type is StageType.PARAMETERIZED:
            assert record.items_total == record.items_finished + record.items_failed
            assert spec.allow_partial_failure or not record.items_failed
        assert (record.finished_at is not None) == record.state.terminal
    if bench.run.state.terminal:
        assert all(record.state.terminal for record in stages.values())
        assert not bench.machine.open
    elif not bench.ready:
        assert bench.machine.next_due() is not None, "an open run with nothing to wait for"


def test_what_is_made_ready_and_cancelled_in_one_step_never_begins() -> None:
    bench = Bench(simple("a"), simple("b", "a"))
    (a,) = bench.ready
    bench.machine.ended(a, Finished(value(), 0.01), bench.now, bench.now)
    bench.machine.cancel("user", bench.now)
    step = bench.machine.step()
    assert (step.start, step.at_once, step.stop) == ([], [], [])
    assert bench.run.state is RunState.CANCELLED
