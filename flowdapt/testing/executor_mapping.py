"""State how a slice of a mapped stage runs: items in order, a time budget, failures item by item."""

from __future__ import annotations

from flowdapt.domain.task import MapSlice
from flowdapt.testing.executor_calls import RunsExecutor

__all__ = ["MappingContract"]


class MappingContract(RunsExecutor):
    """`execute` with a `map`."""

    async def test_a_slice_runs_its_items_in_order(self) -> None:
        async with self.bench() as bench:
            call = bench.call("square_or_fail", [0, 1, 2, 3, 4], map=MapSlice(1, 4))
            finished = await bench.finished(call)
            assert bench.decode(finished.value) == [1, 4, 9]
            assert finished.reached == 4
            assert finished.value.length == 3

    async def test_a_failing_item_keeps_its_place(self) -> None:
        async with self.bench() as bench:
            call = bench.call("square_or_fail", [1, -2, 3], map=MapSlice(0, 3), stage="squares")
            finished = await bench.finished(call)
            assert bench.decode(finished.value) == [1, None, 9]
            (failure,) = finished.failures
            assert failure.index == failure.error.index == 1
            assert failure.error.type == "builtins.ValueError"
            assert failure.error.stage == "squares"
            assert "square_or_fail" in failure.error.traceback

    async def test_a_slice_may_stop_at_a_failing_item(self) -> None:
        async with self.bench() as bench:
            cut = MapSlice(0, 3, stop_on_failure=True)
            finished = await bench.finished(bench.call("square_or_fail", [1, -2, 3], map=cut))
            assert finished.reached == 2
            assert bench.decode(finished.value) == [1, None]
            assert [failure.index for failure in finished.failures] == [1]

    async def test_a_slice_ends_when_its_time_is_over(self) -> None:
        async with self.bench() as bench:
            cut = MapSlice(0, 1000, budget_s=0.1)
            finished = await bench.finished(bench.call("slowly", list(range(1000)), map=cut))
            assert 1 <= finished.reached < 50
            assert bench.decode(finished.value) == list(range(finished.reached))

    async def test_at_least_one_item_runs_whatever_the_budget(self) -> None:
        async with self.bench() as bench:
            cut = MapSlice(3, 10, budget_s=0.0)
            finished = await bench.finished(bench.call("slowly", list(range(10)), map=cut))
            assert finished.reached == 4

    async def test_the_item_takes_the_place_of_its_source(self) -> None:
        async with self.bench() as bench:
            first = bench.call("everything", [1, 2], "x", map=MapSlice(0, 2))
            assert await bench.value(first) == [[1, "x"], [2, "x"]]
            second = bench.call("everything", "x", [1, 2], map=MapSlice(0, 2, source=1))
            assert await bench.value(second) == [["x", 1], ["x", 2]]

    async def test_a_root_stage_maps_over_a_key_of_the_input(self) -> None:
        async with self.bench() as bench:
            cut = MapSlice(0, 3, source=-1, input_key="sizes")
            call = bench.call("scale", given={"sizes": [1, 2, 3], "factor": 10}, map=cut)
            assert await bench.value(call) == [10, 20, 30]

    async def test_another_stage_maps_over_the_input_before_its_dependencies(self) -> None:
        async with self.bench() as bench:
            cut = MapSlice(0, 2, source=-1, input_key="sizes")
            call = bench.call(
                "everything", "x", given={"sizes": [1, 2]}, bind="dependencies", map=cut
            )
            assert await bench.value(call) == [[1, "x"], [2, "x"]]

    async def test_coroutine_functions_are_awaited_item_by_item(self) -> None:
        async with self.bench() as bench:
            call = bench.call("later", [1, 2, 3], map=MapSlice(0, 3))
            assert await bench.value(call) == [2, 4, 6]

    async def test_each_item_knows_its_index(self) -> None:
        async with self.bench() as bench:
            call = bench.call("with_index", ["a", "b", "c"], map=MapSlice(1, 3), stage="letters")
            key = f"{bench.run}/letters"
            assert await bench.value(call) == [["b", 1, f"{key}/1"], ["c", 2, f"{key}/2"]]

    async def test_a_source_that_is_no_list_fails_the_stage(self) -> None:
        async with self.bench() as bench:
            failed = await bench.failed(bench.call("scale", {"a": 1}, 2, map=MapSlice(0, 1)))
            assert failed.error.type == "flowdapt.domain.errors.BadBinding"
            assert not failed.error.retryable

    async def test_items_never_see_what_others_changed(self) -> None:
        async with self.bench() as bench:
            source = (await bench.finished(bench.call("everything", [1], [2]))).value
            for _ in range(2):
                call = bench.call("change", source, map=MapSlice(0, 2), stage="again")
                assert await bench.value(call) == [[1, 99], [2, 99]]
