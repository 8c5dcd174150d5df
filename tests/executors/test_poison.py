"""What bad stages do to their executor: nothing, but to lose their own worker (reliability, poison stages)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import pytest
import trio

from flowdapt.domain.task import Failed, Finished, LogLine, Lost, MapSlice, Outcome, TaskEvent
from flowdapt.testing.executor_calls import lines_of, until
from tests.executors.workbench import lives, local, poison, rss_bytes, soon

pytestmark = pytest.mark.trio


# --- crashes --------------------------------------------------------------------------------------


async def test_a_segfault_is_lost_with_its_signal(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        lost = await bench.lost(bench.call(poison("segfault")))
        assert "SIGSEGV" in lost.error.message
        assert lost.reason == "crashed"
        assert any("in segfault" in line for line in lines_of(bench.events, "stderr"))


async def test_six_innocents_beside_a_crasher_succeed(tmp_path: Path) -> None:
    async with local(tmp_path, slots=7) as bench:
        gate = tmp_path / "gate"
        outcomes: list[Outcome] = []

        async def innocent() -> None:
            call = bench.call(poison("wait"), str(gate))
            outcomes.append(await bench.executor.execute(call, lambda event: None))

        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(innocent)
            for number in range(3):
                await bench.lost(bench.call("die", number))
            gate.touch()
        assert [type(outcome) for outcome in outcomes] == [Finished] * 6


async def test_a_killed_idle_worker_costs_no_task(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        first = await bench.value(bench.call(poison("pid")))
        os.kill(first, signal.SIGKILL)
        await until(lambda: not lives(first))
        second = await bench.value(bench.call(poison("pid")))
        assert second not in (first, os.getpid())


async def test_workers_killed_all_the_time_lose_their_own_tasks_only(tmp_path: Path) -> None:
    async with local(tmp_path, slots=2) as bench:
        gate = tmp_path / "gate"
        for _ in range(4):
            outcomes: list[Outcome] = []

            async def one(outcomes: list[Outcome] = outcomes) -> None:
                call = bench.call(poison("wait"), str(gate))
                outcomes.append(await bench.executor.execute(call, lambda event: None))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(one)
                nursery.start_soon(one)
                await until(lambda: [w.state for w in bench.executor.workers()].count("busy") == 2)
                victim = bench.executor.workers()[0].pid
                assert victim is not None
                os.kill(victim, signal.SIGKILL)
                await until(lambda outcomes=outcomes: bool(outcomes))
                gate.touch()
            gate.unlink()
            assert isinstance(outcomes[0], Lost)
            assert outcomes[0].worker_pid == victim
            assert isinstance(outcomes[1], Finished)


async def test_a_memory_hog_fails_under_its_limit_and_the_next_task_has_room(
    tmp_path: Path,
) -> None:
    async with local(tmp_path, slots=1) as bench:
        limit = 64 * 1024 * 1024
        failed = await bench.failed(
            bench.call(poison("eat"), 512 * 1024 * 1024, memory_limit_bytes=limit)
        )
        assert failed.error.type == "builtins.MemoryError"
        assert await bench.value(bench.call(poison("eat"), 200 * 1024 * 1024)) > 0


# --- output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("through", ["fd", "python"])
async def test_a_gibibyte_of_output_is_drained_and_capped(tmp_path: Path, through: str) -> None:
    async with local(tmp_path, output=4 * 1024 * 1024) as bench:
        await bench.value(bench.call(poison("pid")))
        kept = [0, 0]
        ends: list[str] = []
        before = peak = rss_bytes()

        def count(event: TaskEvent) -> None:
            nonlocal peak
            if isinstance(event, LogLine):
                kept[0] += 1
                kept[1] += len(event.text)
                if kept[0] % 1000 == 1 or not event.text.startswith("xxx"):
                    peak = max(peak, rss_bytes())
                if not event.text.startswith("xxx"):
                    ends.append(event.text)

        outcome = await bench.executor.execute(bench.call(poison("write_gibibyte"), through), count)
        assert isinstance(outcome, Finished)
        assert ends[0] == "the first line"
        assert ends[-1] == "the last line"
        assert any("bytes of stdout cut" in text for text in ends)
        assert 1024 * 1024 < kept[1] <= 5 * 1024 * 1024
        assert peak - before < 32 * 1024 * 1024


async def test_many_short_lines_are_capped_by_their_number(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("short_lines"), 3_000_000))
        lines = lines_of(bench.events)
        assert len(lines) < 70_000
        assert any("bytes of stdout cut" in line for line in lines)


@pytest.mark.parametrize("through", ["fd", "python"])
async def test_a_line_of_ten_megabytes_keeps_its_head_and_tail(
    tmp_path: Path, through: str
) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("long_line"), through))
        text = "".join(lines_of(bench.events))
        assert text.startswith("a" * 1000)
        assert text.endswith("c" * 1000)
        assert "bytes" in text
        assert "cut" in text
        assert len(text) < 200_000


async def test_odd_bytes_are_kept_and_readable(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("odd_bytes")))
        assert lines_of(bench.events) == ["nul \0 bad \\xff\\xfe esc \x1b]52;c;x\x07"] * 2


async def test_what_c_code_printed_belongs_to_its_task(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("printf")))
        assert lines_of(bench.events, "stdout") == ["from C"]


async def test_a_line_without_an_end_is_not_lost(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("no_newline")))
        assert sorted(lines_of(bench.events)) == ["no end", "no end either"]


async def test_the_output_of_a_child_belongs_to_the_task(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("from_child")))
        assert lines_of(bench.events, "stdout") == ["from the child"]
        assert lines_of(bench.events, "stderr") == ["and its error"]


async def test_log_records_keep_level_and_logger(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("log_levels")))
        lines = [event for event in bench.events if isinstance(event, LogLine)]
        assert [(line.level, line.logger, line.text) for line in lines] == [
            ("info", "mine", "informed"),
            ("error", "mine", "alarmed"),
        ]


async def test_printed_lines_know_their_item(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        call = bench.call(poison("print_item"), list(range(1000)), map=MapSlice(0, 1000))
        await bench.finished(call)
        lines = [event for event in bench.events if isinstance(event, LogLine)]
        assert [(line.index, line.text) for line in lines] == [
            (number, f"item {number}") for number in range(1000)
        ]


async def test_a_huge_log_record_is_cut(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        await bench.finished(bench.call(poison("huge_log_record")))
        (line,) = lines_of(bench.events)
        assert "characters cut" in line
        assert len(line) < 100_000


async def test_lone_surrogates_harm_nobody(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        assert await bench.value(bench.call(poison("surrogates"))) == "done"
        assert lines_of(bench.events) == ["lone \\ud800 surrogate"] * 2


# --- secrets --------------------------------------------------------------------------------------


async def test_a_secret_in_two_pieces_is_masked(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        secret = "correct-horse-battery"
        call = bench.call(poison("print_secret_in_pieces"), secret, secrets={"API_KEY": secret})
        await bench.finished(call)
        assert sorted(lines_of(bench.events)) == ["fd: ***", "py: ***"]


async def test_an_encoded_secret_is_masked(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        secrets = {"API_KEY": "correct-horse-battery"}
        await bench.finished(bench.call(poison("print_encoded"), secrets=secrets))
        printed, logged = lines_of(bench.events)
        assert "***" in printed
        assert "***" in logged
        assert "b3JzZS1iYXR0" not in printed + logged


# --- children -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["leave_child", "leave_daemon"])
async def test_what_a_task_left_running_is_gone_soon(tmp_path: Path, stage: str) -> None:
    async with local(tmp_path) as bench:
        witness = tmp_path / "witness"
        await bench.finished(bench.call(poison(stage), str(witness)))
        child = int(witness.read_text())
        await soon(lambda: not lives(child), seconds=2, what="the child ends")
        assert await bench.value(bench.call("everything", 1)) == [1]


async def test_a_cancel_ends_all_descendants(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        witness = tmp_path / "witness"
        call = bench.call(poison("leave_daemon"), str(witness), "hang", grace_s=0.3)
        await bench.cancelled(call, witness.exists)
        assert not lives(int(witness.read_text()))


async def test_a_crash_ends_marked_descendants(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        witness = tmp_path / "witness"
        await bench.lost(bench.call(poison("leave_marked_daemon_and_crash"), str(witness)))
        child = int(witness.read_text())
        await soon(lambda: not lives(child), seconds=2, what="the child ends")


async def test_nobody_waits_for_a_child_that_holds_the_socket(tmp_path: Path) -> None:
    async with local(tmp_path, patience_s=20) as bench:
        began = trio.current_time()
        lost = await bench.lost(bench.call(poison("hold_socket_and_die")))
        assert "code 7" in lost.error.message
        assert trio.current_time() - began < 5


async def test_a_fork_that_comes_back_ends_quietly(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        child = await bench.value(bench.call(poison("fork_and_return")))
        assert child > 0
        await soon(lambda: not lives(child), seconds=2, what="the copy ends")


async def test_a_pool_of_forks_speaks_and_ends(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        before = await bench.value(bench.call(poison("pid")))
        assert await bench.value(bench.call(poison("pool_of_forks"))) == [0, 2, 4, 6]
        spoken = {f"{how} by {number}" for how in ("printed", "logged") for number in range(4)}
        assert set(lines_of(bench.events)) == spoken
        assert len(lines_of(bench.events)) == len(spoken)
        assert await bench.value(bench.call(poison("pid"))) == before


async def test_a_finished_child_does_not_cost_the_worker(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        before = await bench.value(bench.call(poison("pid")))
        await bench.finished(bench.call(poison("finished_child")))
        assert await bench.value(bench.call(poison("pid"))) == before


async def test_a_worker_with_a_thread_left_is_replaced(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        before = await bench.value(bench.call(poison("pid")))
        assert await bench.value(bench.call(poison("leave_thread"))) == "left a thread"
        assert await bench.value(bench.call(poison("pid"))) != before
        await soon(lambda: not lives(before), seconds=2, what="the worker ends")


# --- the result socket ----------------------------------------------------------------------------

JUNK = ["text", "short", "empty body", "truncated", "wrong type", "unfinished", "unknown tag"]


@pytest.mark.parametrize("kind", JUNK)
async def test_junk_on_the_result_socket_is_lost(tmp_path: Path, kind: str) -> None:
    async with local(tmp_path, patience_s=20) as bench:
        lost = await bench.lost(bench.call(poison("junk"), kind))
        assert lost.reason == "bad_frame"
        assert await bench.value(bench.call("everything", 1)) == [1]


async def test_a_message_without_end_is_lost(tmp_path: Path) -> None:
    async with local(tmp_path, patience_s=20) as bench:
        lost = await bench.lost(bench.call(poison("flood")))
        assert lost.reason == "bad_frame"


async def test_a_closed_result_socket_is_lost(tmp_path: Path) -> None:
    async with local(tmp_path, patience_s=20) as bench:
        await bench.lost(bench.call(poison("close_everything")))
        assert await bench.value(bench.call("everything", 1)) == [1]


# --- values and errors ----------------------------------------------------------------------------


async def test_what_cannot_be_read_back_fails_where_it_is_made(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        failed = await bench.failed(bench.call(poison("reads_badly")))
        assert failed.error.type == "flowdapt.domain.errors.UnstorableResult"
        assert "not readable" in failed.error.message
        assert not failed.error.retryable


async def test_a_pickle_is_read_by_workers_alone(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        witness = tmp_path / "witness"
        finished = await bench.finished(bench.call(poison("evil"), str(witness)))
        await bench.finished(bench.call(poison("take"), finished.value))
        readers = {int(line) for line in witness.read_text().split()}
        assert readers
        assert os.getpid() not in readers


async def test_a_changed_file_is_noticed_before_it_is_read(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        witness = tmp_path / "witness"
        call = bench.call(poison("evil"), str(witness), inline_max_bytes=0)
        value = (await bench.finished(call)).value
        path = tmp_path / "values" / value.location
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
        witness.unlink()
        failed = await bench.failed(bench.call(poison("take"), value))
        assert failed.error.type == "flowdapt.domain.errors.DamagedValue"
        assert "dependency 1 (poison.Evil)" in failed.error.message
        assert not witness.exists()


async def test_a_message_of_100_megabytes_is_cut(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        failed = await bench.failed(bench.call(poison("long_words")))
        assert failed.error.type == "builtins.ValueError"
        assert len(failed.error.message) < 17 * 1024


async def test_an_error_that_exits_when_asked_for_words_still_fails(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        failed = await bench.failed(bench.call(poison("silent")))
        assert failed.error.type == "poison.Silent"


async def test_endless_recursion_is_told_briefly(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        failed = await bench.failed(bench.call(poison("deep")))
        assert failed.error.type == "builtins.RecursionError"
        assert "frames cut" in failed.error.traceback
        assert failed.error.traceback.count("in deep") < 50


async def test_a_thousand_failing_items_end_the_slice_early(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        cut = MapSlice(0, 1000, budget_s=30)
        finished = await bench.finished(
            bench.call(poison("fail_often"), list(range(1000)), map=cut)
        )
        assert 0 < finished.reached < 1000
        assert len(finished.failures) == finished.reached


async def test_a_large_input_travels_in_pieces(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        assert await bench.value(bench.call(poison("size_of"), "x" * 3_000_000)) == 3_000_000


async def test_an_input_over_the_bound_fails_clearly(tmp_path: Path) -> None:
    async with local(tmp_path) as bench:
        outcome = await bench.outcome(bench.call(poison("size_of"), "x" * 17_000_000))
        assert isinstance(outcome, Failed)
        assert outcome.error.type == "flowdapt.domain.errors.TooLarge"
        assert await bench.value(bench.call("everything", 1)) == [1]


async def test_the_junk_is_what_the_protocol_refuses() -> None:
    from flowdapt.runtime.frames import BadFrame, read_message

    with pytest.raises(BadFrame):
        read_message(msgspec.msgpack.encode({"a": 1}))
