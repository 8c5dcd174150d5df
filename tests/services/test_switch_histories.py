"""Whatever is added, removed and switched to, well or not: the pointer is where a model of ten lines says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from flowdapt.domain.errors import Conflict, ExecutorUnavailable, FlowdaptError, NotFound
from flowdapt.testing import FakeExecutor
from tests.services.yard import IDLE_S, Yard, yard

NAMES = ("local", "dask", "ray", "lab", "big")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.sampled_from([*NAMES, "-"])),
        st.tuples(st.just("fail"), st.sampled_from([*NAMES, "-"])),
        st.tuples(st.just("add"), st.sampled_from(NAMES)),
        st.tuples(st.just("remove"), st.sampled_from(NAMES)),
        st.tuples(st.just("run"), st.sampled_from(NAMES)),
        st.tuples(st.just("wait"), st.just("")),
    ),
    max_size=20,
)


@dataclass
class Model:
    """What should be."""

    active: str = "local"
    previous: str | None = None
    stored: set[str] = field(default_factory=set)

    def knows(self, name: str) -> bool:
        return name in self.stored or name in ("local", "dask", "ray")

    def use(self, name: str, *, works: bool) -> type[FlowdaptError] | None:
        if name == "-" and self.previous is None:
            return Conflict
        name = self.previous or "" if name == "-" else name
        if not self.knows(name):
            return NotFound
        # What is open already is not opened again, and the local executor always is.
        if works and name != self.active:
            self.active, self.previous = name, self.active
        return None

    def add(self, name: str) -> type[FlowdaptError] | None:
        if self.knows(name):
            return Conflict
        self.stored.add(name)
        return None

    def remove(self, name: str) -> type[FlowdaptError] | None:
        if not self.knows(name):
            return NotFound
        if name not in self.stored or name == self.active:
            return Conflict
        self.stored.discard(name)
        self.previous = None if self.previous == name else self.previous
        return None


async def done(awaitable: Any) -> tuple[Any, type[FlowdaptError] | None]:
    try:
        return await awaitable, None
    except FlowdaptError as error:
        kind = Conflict if isinstance(error, Conflict) else type(error)
        return None, kind


async def step(y: Yard, model: Model, works: list[bool], what: str, name: str) -> None:
    match what:
        case "use" | "fail":
            works[0] = what == "use"
            open_already = {
                view.name for view in await y.executors.views() if view.state == "ready"
            }
            meant = model.previous if name == "-" else name
            expected = model.use(name, works=works[0] or meant in open_already)
            switched, refused = await done(y.use(name))
            works[0] = True
            assert refused is expected
            if switched is not None:
                assert switched.switched == (switched.active == meant)
        case "add":
            assert (await done(y.add(name)))[1] is model.add(name)
        case "remove":
            assert (await done(y.executors.remove(name)))[1] is model.remove(name)
        case "run":
            run, refused = await done(y.submit(name))
            assert refused is (None if model.knows(name) else NotFound)
            if run is not None:
                assert (await y.ended(run)).state == "finished"
        case "wait":
            await trio.sleep(2 * IDLE_S)


async def live(steps: list[tuple[str, str]]) -> None:
    works = [True]

    def make(_options: dict[str, Any]) -> FakeExecutor:
        executor = FakeExecutor()

        async def opening() -> None:
            await trio.sleep(1)
            if not works[0]:
                raise ExecutorUnavailable("nobody listens")

        executor.opening = opening
        return executor

    async with yard(make=make) as y:
        model = Model()
        for what, name in steps:
            await step(y, model, works, what, name)
            pointer = await y.store.active_executor()
            assert (pointer.name, pointer.previous) == (model.active, model.previous)
            assert y.executors.active == model.active
            assert {profile.name for profile in await y.store.list_profiles()} == model.stored
        await trio.sleep(2 * IDLE_S)
        assert {view.name for view in await y.executors.views() if view.state == "ready"} == {
            "local", model.active,
        }  # fmt: skip
        assert len([one for one in y.made if one.open]) == (model.active != "local")
        assert y.troubles == {}


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_the_pointer_follows_its_model(steps: list[tuple[str, str]]) -> None:
    trio.run(live, steps, clock=MockClock(autojump_threshold=0))
