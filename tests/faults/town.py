"""Owners, clients and an executor that a test holds in its hand, over one store, in virtual time.

The town lives in a thread of its own, where time passes only when the test lets it. Owners reach the
store over links that take time, may be out of order, and are cut when their owner dies.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from flowdapt.domain.errors import FlowdaptError, Unavailable
from flowdapt.domain.run import RunState, StageState
from flowdapt.domain.task import Outcome, TaskCall
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.ports.executor import Emit
from flowdapt.services.compute import Compute
from flowdapt.services.driver import DriverTools
from flowdapt.services.given import GivenExecutors
from flowdapt.services.runs import Runs
from flowdapt.stores.memory import MemoryStore
from flowdapt.testing import FakeClock, FakeExecutor, MemoryLogs, MemoryValues
from tests.services.test_compute import Workflows

__all__ = ["Held", "Owner", "Town"]

T = TypeVar("T")
LATENCY_S = 0.01


class Link:
    """One owner's way to the shared store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.cut = self.out_of_order = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def asked(*args: Any, **named: Any) -> Any:
            await trio.sleep(LATENCY_S)
            if self.cut or self.out_of_order:
                raise Unavailable("the store does not answer")
            answer = await found(*args, **named)
            await trio.sleep(LATENCY_S)
            return answer

        return asked


class Held:
    """A task that waits for the test to say how it ends."""

    def __init__(self, call: TaskCall) -> None:
        self.call = call
        self.outcome: Outcome | None = None
        self.said = trio.Event()


class Hands(FakeExecutor):
    """Holds every task until it is told its outcome; looks at the store when one begins."""

    def __init__(self, town: Town) -> None:
        super().__init__(slots=3)
        self._town = town

    async def execute(self, call: TaskCall, emit: Emit) -> Outcome:
        self._town.look_at(call)
        held = Held(call)
        self._town.held.append(held)
        try:
            await super().execute(call, emit)  # tells that the body runs
            await held.said.wait()
        finally:
            self._town.held.remove(held)
        assert held.outcome is not None
        return held.outcome


class Owner:
    """One compute service with what it takes to serve clients."""

    def __init__(self, town: Town, name: str) -> None:
        self.name = name
        self.link = Link(town.store)
        store: Any = self.link
        broker, logs, values = InProcessBroker(), MemoryLogs(), town.values
        tools = DriverTools(store, broker, logs, values, town.clock)
        executors = GivenExecutors({"local": Hands(town)})
        self.compute = Compute(tools, executors, owner=name)
        self.runs = Runs(
            store=store, broker=broker, values=values, logs=logs, clock=town.clock,
            catalog=town.workflows, engine=self.compute, executors=executors,
        )  # fmt: skip
        self.scope = trio.CancelScope()
        self.crowd = trio.CancelScope()

    async def serve(self) -> None:
        with self.scope:
            while not self.link.cut:
                try:
                    await self.compute.run()
                except* FlowdaptError:
                    # As a process would: end, and be started again a little later.
                    await trio.sleep(1)

    def die(self) -> None:
        """Be gone between two steps, with nothing more written."""
        self.link.cut = True
        self.scope.cancel()
        self.crowd.cancel()


class Town:
    """All of it, from the thread of the test."""

    def __init__(self, workflows: Workflows) -> None:
        self.time = MockClock()
        self.workflows = workflows
        self.wrongs: list[str] = []
        self.held: list[Held] = []
        self.owners: list[Owner] = []
        self._born = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=trio.run, args=(self._live,), kwargs={"clock": self.time}
        )
        self._thread.start()
        self._ready.wait(10)

    async def _live(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.values = MemoryValues()
        self._token = trio.lowlevel.current_trio_token()
        self._over = trio.Event()
        async with trio.open_nursery() as self._nursery:
            self._ready.set()
            await self._over.wait()
            self._nursery.cancel_scope.cancel()

    def end(self) -> None:
        self._there(self._end)
        self._thread.join(10)

    async def _end(self) -> None:
        self._over.set()

    def _there(self, work: Callable[..., Awaitable[T]], *args: Any) -> T:
        return trio.from_thread.run(work, *args, trio_token=self._token)

    # -- what the test may do ----------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        self._there(self._pass_time, seconds)

    async def _pass_time(self, seconds: float) -> None:
        ends = trio.current_time() + seconds
        while True:
            await wait_all_tasks_blocked()
            left = ends - trio.current_time()
            if left <= 1e-9:
                return
            until = trio.lowlevel.current_statistics().seconds_to_next_deadline
            self.time.jump(max(min(left, until), 1e-6))

    def start(self) -> None:
        self._there(self._start)

    async def _start(self) -> None:
        self._born += 1
        owner = Owner(self, f"here/{self._born}")
        self.owners.append(owner)
        self._nursery.start_soon(owner.serve)
        await wait_all_tasks_blocked()

    def die(self) -> None:
        self._there(self._die)

    async def _die(self) -> None:
        for owner in self.owners:
            owner.die()
        self.owners.clear()
        await wait_all_tasks_blocked()

    def ask(
        self, what: Callable[[Runs], Awaitable[T]], *, patience_s: float = 1.0
    ) -> T | FlowdaptError | None:
        """Ask the newest owner; None when no answer came in that time."""
        box: list[T | FlowdaptError] = []
        self._there(self._ask, what, box)
        self.pass_time(patience_s)
        return box[0] if box else None

    async def _ask(
        self, what: Callable[[Runs], Awaitable[T]], box: list[T | FlowdaptError]
    ) -> None:
        owner = self.owners[-1]

        async def asking() -> None:
            with trio.CancelScope() as scope:
                owner.crowd = scope
                try:
                    box.append(await what(owner.runs))
                except FlowdaptError as error:
                    box.append(error)

        self._nursery.start_soon(asking)

    def tell(self, held: Held, outcome: Outcome) -> None:
        async def say() -> None:
            held.outcome = outcome
            held.said.set()
            await wait_all_tasks_blocked()

        self._there(say)

    def rows(self) -> dict[str, tuple[Any, list[Any]]]:
        """Return copies of all runs and their stages."""

        async def read() -> dict[str, tuple[Any, list[Any]]]:
            loaded = {uid: held.loaded() for uid, held in self.store._runs.items()}
            return {uid: (one.run, one.stages) for uid, one in loaded.items()}

        return self._there(read)

    def broken(self) -> list[str]:
        return self._there(self.store.check)

    # -- what is looked at when a task begins --------------------------------------------------------

    def look_at(self, call: TaskCall) -> None:
        """Note what must not be: a task that begins too early, too late, or on another input."""
        held = self.store._runs.get(call.run.uid)
        if held is None or held.run.epoch != call.epoch:
            return  # a zombie's task: it may run, and what it says is fenced off
        stages = {stage.name: stage for stage in held.stages}
        record = stages[call.stage]
        where = f"{held.run.name}/{call.stage}"
        if held.run.state is not RunState.RUNNING and held.run.cancel_requested_at is None:
            self.wrongs.append(f"{where} begins in a run that is {held.run.state}")
        if record.state.terminal and held.run.cancel_requested_at is None:
            self.wrongs.append(f"{where} begins though it is {record.state}")
        spec = next(
            s for s in self.workflows.known[held.run.workflow].spec.stages if s.name == call.stage
        )
        needed = [stages[name] for name in spec.depends_on]
        if any(one.state is not StageState.FINISHED for one in needed):
            self.wrongs.append(f"{where} begins before its dependencies have ended")
        with suppress(IndexError):
            if needed and call.map is None and list(call.args) != [one.result for one in needed]:
                self.wrongs.append(f"{where} begins with other results than those committed")
