"""Tasks in a cluster's worker run in processes of their own: what they cost, say and leave behind."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from flowdapt.domain.task import Cancelled, Failed, Finished, LogLine, Lost, Started, ValueRef
from flowdapt.runtime.frames import read_message
from flowdapt.runtime.hosted import Hosted, hosted_in
from flowdapt.runtime.pickled import Pickled
from flowdapt.testing.executor_calls import Bench
from tests.runtime.stage_calls import environment
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from flowdapt.domain.task import Outcome, TaskCall, TaskEvent
    from flowdapt.ports.executor import Executor

NUMPY = "tests.runtime.test_hosted"


def make_large(size: int) -> Any:
    return np.arange(size)


def add_up(array: Any) -> float:
    array += 1
    return float(array.sum())


class Host:
    """A `Hosted` and the values that it was given back."""

    def __init__(self, root: Path, *, shares_files: bool = True) -> None:
        self.environment = environment(root)
        self.hosted = Hosted(self.environment, shares_files=shares_files)
        self.bench = Bench(cast("Executor", None), self.environment, "run-1")
        self.held: dict[str, Pickled] = {}
        self.said: list[bytes] = []
        self.events: list[TaskEvent] = []

    def run(self, call: TaskCall, held: Mapping[str, Pickled] | None = None) -> Outcome:
        handle = call.task_key
        self.said = []
        done = self.hosted.run(call, self.held if held is None else held, self.said.append, handle)
        *events, outcome = [
            event for body in [*self.said, done.message] for event in read_message(body)
        ]
        self.events = cast("list[TaskEvent]", events)
        if done.kept is not None:
            self.held[handle] = done.kept
        return cast("Outcome", outcome)

    def finished(self, call: TaskCall) -> ValueRef:
        outcome = self.run(call)
        assert isinstance(outcome, Finished), outcome
        return outcome.value

    def value(self, call: TaskCall) -> Any:
        return self.bench.decode(self.finished(call))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.hosted.close()


def test_a_task_runs_in_another_process_which_stays_warm(host: Host) -> None:
    first = host.value(host.bench.call("pid"))
    assert first != os.getpid()
    assert host.value(host.bench.call("pid")) == first


def test_a_small_result_comes_back_inline(host: Host) -> None:
    ref = host.finished(host.bench.call("pair", 1))
    assert (ref.kind, host.held) == ("inline", {})


def test_a_large_result_is_kept_and_lent_to_the_next_task(host: Host) -> None:
    ref = host.finished(host.bench.call(f"{NUMPY}:make_large", 1_000_000))
    assert (ref.kind, ref.codec, ref.location) == ("cluster", "pickle", "")
    assert ref.size_bytes > 8_000_000
    for _ in range(2):  # the task changes its input in place: its copy alone
        assert host.value(host.bench.call(f"{NUMPY}:add_up", ref)) == sum(range(1_000_001))


def test_a_result_of_middling_size_is_written_to_a_file_as_well(host: Host, tmp_path: Path) -> None:
    ref = host.finished(host.bench.call("everything", "x" * 100_000, inline_max_bytes=1000))
    assert (ref.kind, ref.handle in host.held) == ("file", True)
    assert host.bench.decode(ref) == ["x" * 100_000]
    (tmp_path / "values" / ref.location).unlink()
    assert host.value(host.bench.call("type_name", ref)) == "list"


def test_without_shared_files_nothing_is_written(tmp_path: Path) -> None:
    host = Host(tmp_path, shares_files=False)
    ref = host.finished(host.bench.call("everything", "x" * 100_000, inline_max_bytes=1000))
    assert ref.kind == "cluster"
    assert not (tmp_path / "values").exists()
    host.hosted.close()


def test_many_small_inputs_are_lent_together(host: Host) -> None:
    refs = [
        host.finished(host.bench.call("everything", number, "x" * 200, inline_max_bytes=10))
        for number in range(3)
    ]
    assert [ref.kind for ref in refs] == ["file"] * 3
    assert host.value(host.bench.call("everything", *refs))[2][0] == 2


def test_an_input_that_is_gone_is_told_by_its_handle(host: Host) -> None:
    gone = ValueRef("cluster", "json", handle="run-1/gone")
    outcome = host.run(host.bench.call("everything", gone))
    assert isinstance(outcome, Lost)
    assert outcome.missing == ("run-1/gone",)
    assert not any(isinstance(event, Started) for event in host.events)


def test_a_crash_costs_its_own_process_and_is_told_with_its_code(host: Host) -> None:
    outcome = host.run(host.bench.call("die", 7))
    assert isinstance(outcome, Lost)
    assert "code 7" in outcome.error.message
    assert host.value(host.bench.call("everything", 1)) == [1]


def test_failures_are_values(host: Host) -> None:
    outcome = host.run(host.bench.call("fail"))
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "no such luck"


def test_what_c_code_prints_belongs_to_its_task(host: Host) -> None:
    host.finished(host.bench.call("speak", "hello"))
    texts = {event.text for event in host.events if isinstance(event, LogLine)}
    assert texts == {"printed: hello", "written: hello", "told: hello", "warned: hello"}


def test_words_leave_while_the_body_runs(host: Host, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    call = host.bench.call("speak_and_wait", str(gate))
    thread = threading.Thread(target=host.run, args=(call,))
    thread.start()
    eventually(lambda: any(b"before the gate" in body for body in tuple(host.said)))
    gate.touch()
    thread.join()


def _run_and_cancel(host: Host, call: TaskCall, witness: Path) -> tuple[Outcome, float]:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(host.run(call)))
    thread.start()
    eventually(witness.exists)
    began = time.monotonic()
    host.hosted.cancel(call.task_key)
    thread.join()
    return outcomes[0], time.monotonic() - began


def test_a_deaf_body_is_killed_after_its_grace(host: Host, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    call = host.bench.call("run_for_ever", str(witness), grace_s=0.3)
    outcome, took = _run_and_cancel(host, call, witness)
    assert isinstance(outcome, Cancelled)
    assert took < 2.3
    assert host.value(host.bench.call("everything", 1)) == [1]


def test_a_body_that_looks_may_tidy_up(host: Host, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    call = host.bench.call("run_until_cancelled", str(witness), grace_s=5.0)
    _run_and_cancel(host, call, witness)
    assert (tmp_path / "witness.end").read_text(encoding="utf-8") == "looked"


def test_several_tasks_run_at_once(host: Host, tmp_path: Path) -> None:
    calls = [host.bench.call("wait", str(tmp_path / "gate"), number) for number in range(3)]
    threads = [
        threading.Thread(target=host.hosted.run, args=(call, {}, lambda body: None, call.task_key))
        for call in calls
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(host.hosted.processes()) == 3)
    (tmp_path / "gate").touch()
    for thread in threads:
        thread.join()
    assert host.hosted.processes() == {}


def test_a_secret_is_in_the_environment_of_its_task_alone(host: Host) -> None:
    mine = host.bench.call("find_secret", secrets={"API_KEY": "s3cr3t-value"})
    assert host.value(mine) == ["s3cr3t-value", {"API_KEY": "s3cr3t-value"}]
    assert host.value(host.bench.call("find_secret")) == [None, {}]


def test_an_isolated_task_has_a_process_of_its_own(host: Host) -> None:
    before = host.value(host.bench.call("pid"))
    assert host.value(host.bench.call("pid", isolate=True)) != before


def test_the_end_of_one_environment_harms_no_other(tmp_path: Path) -> None:
    first, second = Host(tmp_path / "one"), Host(tmp_path / "two")
    first.finished(first.bench.call("nothing"))
    (tmp_path / "two").mkdir(exist_ok=True)
    call = second.bench.call("wait", str(tmp_path / "gate"), 5)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(second.run(call)))
    thread.start()
    eventually(second.hosted.processes)
    first.hosted.close()
    (tmp_path / "gate").touch()
    thread.join()
    second.hosted.close()
    assert isinstance(outcomes[0], Finished), outcomes


def test_a_task_that_does_not_begin_in_time_is_lost(host: Host) -> None:
    outcome = host.run(host.bench.call("nothing", start_timeout_s=0.0))
    assert isinstance(outcome, Lost)
    assert outcome.reason == "start_timeout"


def test_an_environment_has_one_host_in_a_process(tmp_path: Path) -> None:
    where = environment(tmp_path)
    assert hosted_in(where) is hosted_in(environment(tmp_path))
    assert hosted_in(where) is not hosted_in(where, shares_files=False)


def test_hosts_of_code_that_nobody_runs_any_more_are_forgotten(tmp_path: Path) -> None:
    began = threading.active_count()
    busy = hosted_in(environment(tmp_path / "busy"))
    call = Bench(cast("Executor", None), environment(tmp_path / "busy"), "r").call("pid")
    busy.run(call, {}, lambda _: None, "h")
    try:
        first = hosted_in(environment(tmp_path / "first"))
        for number in range(20):
            hosted_in(environment(tmp_path / str(number)))
        assert hosted_in(environment(tmp_path / "busy")) is busy, "a process waits in it"
        assert hosted_in(environment(tmp_path / "first")) is not first
        assert threading.active_count() <= began + 2, "one starts processes, one tends them"
    finally:
        busy.close()
