"""State what holds for all executors: binding, values, failures as values, events, slots, an end."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from flowdapt.domain.errors import ExecutorUnavailable
from flowdapt.domain.task import Finished, MetricPoint, Part, Progress, Started, TaskEvent, ValueRef
from flowdapt.testing.executor_calls import RunsExecutor, json_ref, lines_of, until

__all__ = ["BaseContract"]


class BaseContract(RunsExecutor):
    """`run`, `execute`, `capacity`, `workers`, `check`, `forget`."""

    # -- binding -------------------------------------------------------------------------------------

    async def test_a_root_stage_takes_the_input_by_name(self) -> None:
        async with self.bench() as bench:
            assert await bench.value(bench.call("add", given={"b": 2, "a": 1, "c": 3})) == 3
            assert await bench.value(bench.call("add", given={"a": 1})) == 11

    async def test_a_missing_parameter_fails_the_stage_by_its_name(self) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call("add", given={"b": 2}))
            assert "'a'" in failed.error.message
            assert not failed.error.retryable

    async def test_keywords_take_the_rest_of_the_input(self) -> None:
        async with self.bench() as bench:
            value = await bench.value(bench.call("rest", given={"a": 1, "b": 2, "c": 3}))
            assert value == {"a": 1, "more": {"b": 2, "c": 3}}

    async def test_dependencies_come_in_order(self) -> None:
        async with self.bench() as bench:
            assert await bench.value(bench.call("everything", 3, "x", [1])) == [3, "x", [1]]

    async def test_a_stage_without_parameters_takes_nothing(self) -> None:
        async with self.bench() as bench:
            assert await bench.value(bench.call("nothing", 1, 2)) is None

    async def test_one_dependency_too_many_fails_the_stage(self) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call("add", 1, 2, 3))
            assert failed.error.type == "flowdapt.domain.errors.BadBinding"

    async def test_a_coroutine_function_is_awaited(self) -> None:
        async with self.bench() as bench:
            assert await bench.value(bench.call("later", 21)) == 42

    # -- values --------------------------------------------------------------------------------------

    async def test_a_json_result_comes_back_inline_as_text(self) -> None:
        async with self.bench() as bench:
            finished = await bench.finished(bench.call("everything", 1, "ä", None))
            assert finished.value.codec == "json"
            assert finished.value.data == '[1,"ä",null]'.encode()
            assert finished.value.length == 3

    async def test_what_is_not_json_keeps_its_type(self) -> None:
        async with self.bench() as bench:
            finished = await bench.finished(bench.call("pair", 1))
            assert finished.value.codec == "pickle"
            assert bench.decode(finished.value) == (1, "1")
            assert await bench.value(bench.call("type_name", finished.value)) == "tuple"

    async def test_a_large_result_travels_by_reference(self) -> None:
        async with self.bench() as bench:
            call = bench.call("everything", "x" * 100_000, inline_max_bytes=1000)
            finished = await bench.finished(call)
            assert finished.value.data == b""
            assert finished.value.size_bytes > 100_000
            assert await bench.value(bench.call("type_name", finished.value)) == "list"

    async def test_a_stage_may_change_its_input_without_harm(self) -> None:
        async with self.bench() as bench:
            first = (await bench.finished(bench.call("everything", 1, inline_max_bytes=0))).value
            assert await bench.value(bench.call("change", first)) == [1, 99]
            assert await bench.value(bench.call("change", first)) == [1, 99]

    async def test_what_cannot_be_pickled_fails_by_type_and_path(self) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call("unpicklable"))
            assert "_thread.lock" in failed.error.message
            assert "['rows'][1]" in failed.error.message
            assert not failed.error.retryable

    # -- failures ------------------------------------------------------------------------------------

    async def test_a_failure_of_user_code_is_a_value(self) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call("fail", stage="unlucky"))
            assert failed.error.type == "builtins.LookupError"
            assert failed.error.message == "no such luck"
            assert failed.error.stage == "unlucky"
            assert "builtins.Exception" in failed.error.bases
            assert "in fail" in failed.error.traceback
            assert "flowdapt/runtime" not in failed.error.traceback
            assert failed.error.retryable

    async def test_user_code_may_ask_not_to_be_retried(self) -> None:
        async with self.bench() as bench:
            assert not (await bench.failed(bench.call("fail_for_good"))).error.retryable

    async def test_an_error_without_words_still_fails(self) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call("fail_mutely"))
            assert failed.error.type.endswith(".Mute")

    @pytest.mark.parametrize("target", ["no_such_module.f", "os.path:no_such", "os:sep"])
    async def test_a_target_that_cannot_be_had_fails_for_good(self, target: str) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call(target))
            assert failed.error.type == "flowdapt.domain.errors.TargetMissing"
            assert not failed.error.retryable

    # -- context and events --------------------------------------------------------------------------

    async def test_the_stage_knows_its_run(self) -> None:
        async with self.bench() as bench:
            value = await bench.value(bench.call("identity", given={"k": 1}, stage="who"))
            assert value == {
                "uid": bench.run,
                "stage": "who",
                "attempt": 1,
                "namespace": "default",
                "input": {"k": 1},
            }

    async def test_what_the_stage_says_arrives_before_its_outcome(self) -> None:
        async with self.bench() as bench:
            await bench.finished(bench.call("speak", "hello"))
            assert sum(isinstance(event, Started) for event in bench.events) == 1
            assert Progress(1, 4, "hello") in bench.events
            points = [e for e in bench.events if isinstance(e, MetricPoint)]
            assert [(p.name, p.value, p.step) for p in points] == [("loss", 0.5, 3)]
            assert lines_of(bench.events, "log") == ["warned: hello"]

    async def test_a_secret_reaches_its_stage_alone(self) -> None:
        async with self.bench() as bench:
            mine = bench.call("find_secret", secrets={"API_KEY": "s3cr3t-value"})
            assert (await bench.value(mine))[1] == {"API_KEY": "s3cr3t-value"}
            assert await bench.value(bench.call("find_secret")) == [None, {}]

    async def test_a_secret_is_masked_in_what_the_stage_says(self) -> None:
        async with self.bench() as bench:
            call = bench.call("speak", "s3cr3t-value", secrets={"API_KEY": "s3cr3t-value"})
            await bench.finished(call)
            assert Progress(1, 4, "***") in bench.events
            assert lines_of(bench.events, "log") == ["warned: ***"]

    async def test_a_secret_is_masked_in_errors(self) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call("reveal", secrets={"API_KEY": "s3cr3t-value"}))
            assert failed.error.message == "refused: ***"
            assert "s3cr3t" not in failed.error.traceback

    # -- many ----------------------------------------------------------------------------------------

    async def test_tasks_beyond_the_slots_wait_for_one(self) -> None:
        async with self.bench() as bench:
            count = (bench.executor.capacity().slots or 4) + 3
            found: list[Any] = []

            async def one(number: int) -> None:
                events: list[TaskEvent] = []
                outcome = await bench.executor.execute(
                    bench.call("everything", number), events.append
                )
                assert isinstance(outcome, Finished)
                found.append(bench.decode(outcome.value)[0])

            async with trio.open_nursery() as nursery:
                for number in range(count):
                    nursery.start_soon(one, number)
            assert sorted(found) == list(range(count))

    async def test_slots_run_at_once(self) -> None:
        async with self.bench() as bench:
            count = min(bench.executor.capacity().slots or 2, 2)
            gate = self.folder / "gate"
            started: list[int] = []

            def emit(event: TaskEvent) -> None:
                if isinstance(event, Started):
                    started.append(1)

            async with trio.open_nursery() as nursery:
                for number in range(count):
                    call = bench.call("wait", str(gate), number)
                    nursery.start_soon(bench.executor.execute, call, emit)
                await until(lambda: len(started) == count)
                gate.touch()

    async def test_the_workers_and_the_capacity_are_told_without_waiting(self) -> None:
        async with self.bench() as bench:
            await bench.finished(bench.call("nothing"))
            capacity = bench.executor.capacity()
            assert capacity.slots is None or capacity.slots > 0
            assert all(worker.name for worker in bench.executor.workers())

    async def test_its_own_checks_pass(self) -> None:
        async with self.bench() as bench:
            assert [row for row in await bench.executor.check() if row.level == "failed"] == []

    async def test_an_unknown_run_can_be_forgotten(self) -> None:
        async with self.bench() as bench:
            await bench.executor.forget("no-such-run")

    async def test_a_cancelled_task_frees_its_slot(self) -> None:
        async with self.bench() as bench:
            for _ in range((bench.executor.capacity().slots or 1) + 1):
                witness = self.folder / "witness"
                call = bench.call("run_until_cancelled", str(witness))
                await bench.cancelled(call, witness.exists)
                witness.unlink()
            assert await bench.value(bench.call("everything", 1)) == [1]

    async def test_an_executor_that_does_not_run_says_so(self) -> None:
        executor = await self.make(self.environment())
        async with self.bench() as bench:
            call = bench.call("nothing")
        with pytest.raises(ExecutorUnavailable):
            await executor.execute(call, lambda event: None)

    async def test_a_part_of_a_list_may_override_another(self) -> None:
        async with self.bench() as bench:
            parts = (Part(0, 3, json_ref([1, 2, 3])), Part(1, 2, json_ref([20])))
            source = ValueRef("parts", length=4, parts=parts)
            assert await bench.value(bench.call("everything", source)) == [[1, 20, 3, None]]
