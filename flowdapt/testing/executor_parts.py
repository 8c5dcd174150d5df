"""State what holds for declared capabilities: output that streams, cancels that kill, crashes that stay alone."""

from __future__ import annotations

import os
from typing import ClassVar

import trio

from flowdapt.domain.task import Finished, Outcome, TaskCall, TaskEvent
from flowdapt.ports.executor import Capabilities
from flowdapt.testing.executor_calls import Bench, RunsExecutor, lines_of, until

__all__ = ["CrashContract", "FreshProcessContract", "KillContract", "StreamContract"]


class _Declares(RunsExecutor):
    """A part of the contract that a capability brings: a subclass without it has no such tests."""

    capability: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "capabilities" not in vars(cls):
            return
        for part in cls.__mro__:
            capability = vars(part).get("capability")
            if capability is not None and not getattr(cls.capabilities, capability):
                for name in [name for name in vars(part) if name.startswith("test_")]:
                    setattr(cls, name, None)


class StreamContract(_Declares):
    """Holds for `streams_logs`."""

    capability = "streams_logs"

    async def test_printed_lines_belong_to_their_task(self) -> None:
        async with self.bench() as bench:
            for words in ("one", "two"):
                await bench.finished(bench.call("speak", words))
                printed = {f"printed: {words}", f"written: {words}"}
                assert set(lines_of(bench.events, "stdout")) == printed
                assert lines_of(bench.events, "stderr") == [f"told: {words}"]

    async def test_lines_arrive_while_the_body_runs(self) -> None:
        async with self.bench() as bench, trio.open_nursery() as nursery:
            gate = self.folder / "gate"
            nursery.start_soon(bench.outcome, bench.call("speak_and_wait", str(gate)))
            await until(lambda: lines_of(bench.events) == ["before the gate"])
            gate.touch()

    async def test_secrets_are_masked_in_lines(self) -> None:
        async with self.bench() as bench:
            await bench.failed(bench.call("reveal", secrets={"API_KEY": "s3cr3t-value"}))
            assert lines_of(bench.events) == ["the key is ***"]


class KillContract(_Declares):
    """Holds for `kills_on_cancel`."""

    capability = "kills_on_cancel"

    async def test_a_deaf_body_is_dead_soon_after_its_grace(self) -> None:
        async with self.bench() as bench:
            witness = self.folder / "witness"
            call = bench.call("run_for_ever", str(witness), grace_s=0.5)
            took = await bench.cancelled(call, witness.exists)
            assert took < 2.5
            assert not _lives(int(witness.read_text(encoding="utf-8")))
            assert await bench.value(bench.call("everything", 1)) == [1]

    async def test_a_body_that_looks_may_tidy_up(self) -> None:
        async with self.bench() as bench:
            witness = self.folder / "witness"
            await bench.cancelled(bench.call("run_until_cancelled", str(witness)), witness.exists)
            assert (self.folder / "witness.end").read_text(encoding="utf-8") == "looked"


class CrashContract(_Declares):
    """Holds for `isolates_crashes`."""

    capability = "isolates_crashes"

    async def test_a_body_that_ends_its_process_is_lost(self) -> None:
        async with self.bench() as bench:
            for code in (0, 7):
                lost = await bench.lost(bench.call("die", code))
                assert f"code {code}" in lost.error.message
            assert await bench.value(bench.call("everything", 1)) == [1]

    async def test_a_killed_body_is_lost_with_its_signal(self) -> None:
        async with self.bench() as bench:
            lost = await bench.lost(bench.call("be_killed"))
            assert "SIGKILL" in lost.error.message

    async def test_an_exit_before_the_result_is_no_success(self) -> None:
        async with self.bench() as bench:
            await bench.lost(bench.call("leave"))

    async def test_a_crash_harms_no_neighbour(self) -> None:
        async with self.bench() as bench:
            gate = self.folder / "gate"
            outcomes: list[Outcome] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_keep, bench, bench.call("wait", str(gate), 5), outcomes)
                if (bench.executor.capacity().slots or 2) > 1:
                    for _ in range(3):
                        await bench.lost(bench.call("die", 7))
                gate.touch()
            (outcome,) = outcomes
            assert isinstance(outcome, Finished)
            assert bench.decode(outcome.value) == 5


class FreshProcessContract(_Declares):
    """Holds for `fresh_process`."""

    capability = "fresh_process"

    async def test_an_isolated_task_has_a_process_of_its_own(self) -> None:
        async with self.bench() as bench:
            before = await bench.value(bench.call("pid"))
            alone = await bench.value(bench.call("pid", isolate=True))
            after = await bench.value(bench.call("pid"))
            assert alone not in (before, after, os.getpid())


async def _keep(bench: Bench, call: TaskCall, outcomes: list[Outcome]) -> None:
    events: list[TaskEvent] = []
    outcomes.append(await bench.executor.execute(call, events.append))


def _lives(pid: int) -> bool:
    """Say whether a process of this machine still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
