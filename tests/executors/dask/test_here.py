"""A Dask cluster started on this machine: who can reach it, how it scales, what it costs when a part dies."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import trio

from flowdapt.domain.errors import MissingObject
from flowdapt.domain.task import Lost
from flowdapt.plugins.executors.dask.executor import DaskExecutor
from flowdapt.plugins.executors.dask.options import DaskOptions
from flowdapt.testing.executor_calls import until
from tests.clusters.promises import BODIES, LARGE, SameNames, children, keep, lives

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flowdapt.domain.task import Outcome, WorkerEnvironment
    from flowdapt.ports.executor import Executor
    from flowdapt.testing.executor_calls import Bench

pytestmark = pytest.mark.slow


class TestHere(SameNames):
    options: dict[str, Any]

    async def make(self, environment: WorkerEnvironment) -> Executor:
        return DaskExecutor(DaskOptions(**self.options), environment)

    @asynccontextmanager
    async def cluster(self, **options: Any) -> AsyncIterator[Bench]:
        self.options = {"minimum": 1, "maximum": 2, **options}
        async with self.bench() as bench:
            yield bench

    def ready(self) -> AbstractAsyncContextManager[Bench]:
        return self.cluster()

    async def test_it_listens_on_loopback_alone_and_leaves_nothing(self) -> None:
        others = children()
        async with self.cluster() as bench:
            await bench.finished(bench.call("nothing"))
            family = children() - others
            listening = [
                found.laddr.ip
                for process in family
                for found in process.net_connections("inet")
                if found.status == psutil.CONN_LISTEN
            ]
            assert listening
            assert {*listening} == {"127.0.0.1"}
        assert not [process for process in family if lives(process)]

    async def test_who_has_no_certificate_is_not_let_in(self) -> None:
        async with self.cluster() as bench:
            await until(lambda: bool(bench.executor.workers()))
            address = str(bench.executor.workers()[0].details["address"])
            assert address.startswith("tls://")
            host, port = address.removeprefix("tls://").rsplit(":", 1)
            stream = await trio.open_tcp_stream(host, int(port))
            async with stream:
                await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
                with pytest.raises(trio.BrokenResourceError):
                    await _read_words(stream)

    async def test_it_grows_with_its_queue_and_shrinks_when_idle(self) -> None:
        async with self.cluster(idle_timeout=0.5) as bench, trio.open_nursery() as nursery:
            await until(lambda: bench.executor.scale().workers == 1)
            gate = self.folder / "gate"
            for number in range(3):
                call = bench.call("wait", str(gate), number)
                nursery.start_soon(bench.executor.execute, call, lambda event: None)
            await until(lambda: bench.executor.scale().workers == 2)
            assert (bench.executor.scale().minimum, bench.executor.scale().maximum) == (1, 2)
            gate.touch()
            await until(lambda: bench.executor.scale().workers == 1)

    async def test_a_worker_with_a_task_stays_when_it_shrinks(self) -> None:
        async with self.cluster(idle_timeout=0.3) as bench:
            names = ("first", "second")
            async with trio.open_nursery() as nursery:
                for name in names:
                    (self.folder / name).mkdir()
                    call = bench.call(f"{BODIES}:note_and_wait", str(self.folder / name))
                    nursery.start_soon(bench.executor.execute, call, lambda event: None)
                await until(lambda: all((self.folder / n / "note-0").exists() for n in names))
                (self.folder / "first" / "gate").touch()
                await until(lambda: bench.executor.scale().workers == 1)
                (self.folder / "second" / "gate").touch()
            # Whichever worker was the idle one: no body was begun a second time.
            assert [len(list((self.folder / n).glob("note-*"))) for n in names] == [1, 1]

    async def test_values_survive_when_it_shrinks(self) -> None:
        async with self.cluster(minimum=1, idle_timeout=0.5) as bench:
            gate = self.folder / "gate"
            async with trio.open_nursery() as nursery:
                for number in range(3):
                    call = bench.call("wait", str(gate), number)
                    nursery.start_soon(bench.executor.execute, call, lambda event: None)
                await until(lambda: bench.executor.scale().workers == 2)
                gate.touch()
            refs = [(await bench.finished(bench.call("everything", LARGE))).value for _ in range(4)]
            await until(lambda: bench.executor.scale().workers == 1)
            for ref in refs:
                assert await bench.value(bench.call("type_name", ref)) == "list"

    async def test_a_dead_worker_costs_its_task_alone_and_comes_back(self) -> None:
        async with self.cluster(maximum=1) as bench:
            outcomes: list[Outcome] = []
            witness = self.folder / "witness"
            call = bench.call("run_until_cancelled", str(witness))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep, bench, call, outcomes)
                await until(witness.exists)
                _kill_worker()
            (outcome,) = outcomes
            assert isinstance(outcome, Lost)
            assert "SIGKILL" in outcome.error.message
            assert not outcome.missing
            assert await bench.value(bench.call("everything", 1)) == [1]

    async def test_tasks_that_waited_for_a_dead_worker_are_not_lost(self) -> None:
        async with self.cluster(maximum=1) as bench:
            outcomes: list[Outcome] = []
            witness = self.folder / "witness"
            async with trio.open_nursery() as nursery:
                first = bench.call("run_until_cancelled", str(witness))
                nursery.start_soon(keep, bench, first, outcomes)
                await until(witness.exists)
                for number in range(4):
                    nursery.start_soon(keep, bench, bench.call("everything", number), outcomes)
                await until(lambda: bench.executor.workers()[0].state == "busy")
                _kill_worker()
            assert sorted(type(outcome).__name__ for outcome in outcomes) == [
                *["Finished"] * 4,
                "Lost",
            ]

    async def test_what_a_body_started_ends_with_its_dead_worker(self) -> None:
        async with self.cluster(maximum=1) as bench, trio.open_nursery() as nursery:
            call = bench.call(f"{BODIES}:start_another", str(self.folder))
            nursery.start_soon(bench.executor.execute, call, lambda event: None)
            note = self.folder / "started"
            await until(lambda: note.exists() and bool(note.read_text(encoding="utf-8")))
            started = psutil.Process(int(note.read_text(encoding="utf-8")))
            _kill_worker()
            await until(lambda: not lives(started))

    async def test_values_of_a_dead_worker_are_told_as_missing(self) -> None:
        async with self.cluster(maximum=1) as bench:
            ref = (await bench.finished(bench.call("everything", LARGE))).value
            kept = (await bench.finished(bench.call("everything", LARGE))).value
            kept = await bench.executor.store(kept, "run/kept")
            _kill_worker()
            await until(lambda: not bench.executor.holds(ref.handle))
            outcome = await bench.lost(bench.call("type_name", ref))
            assert outcome.missing == (ref.handle,)
            assert await bench.value(bench.call("type_name", kept)) == "list"
            with pytest.raises(MissingObject):
                await bench.executor.store(ref, "run/ref")

    async def test_what_no_worker_can_give_is_refused_in_words(self) -> None:
        async with self.cluster(resources={"vllm": 1}) as bench:
            assert dict(bench.executor.capacity().custom) == {"vllm": 2.0}
            fits = bench.call("everything", 1, resources={"vllm": 1.0, "cpus": 1.0})
            assert await bench.value(fits) == [1]
            for wanted, words in (
                ({"vllm": 2.0}, "one worker has 1 at most"),
                ({"gpus": 1.0}, "no worker has any"),
                ({"tpu": 1.0}, "no worker has any"),
            ):
                failed = await bench.failed(bench.call("everything", 1, resources=wanted))
                assert words in failed.error.message
                assert not failed.error.retryable


def _kill_worker() -> None:
    """Kill the first worker process of the cluster, not the processes of its bodies."""
    for process in psutil.Process().children(recursive=True):
        if "flowdapt.plugins.executors.dask.node" in process.cmdline():
            os.kill(process.pid, signal.SIGKILL)
            return
    raise AssertionError("no worker of the cluster runs")


async def _read_words(stream: trio.SocketStream) -> None:
    """Read until the other side is done; a TLS server without a handshake says nothing of use."""
    while chunk := await stream.receive_some(1000):
        assert b"HTTP" not in chunk
    raise trio.BrokenResourceError
