"""Whatever happens in whatever order, the invariants hold after each step, and every run ends."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from flowdapt.domain.errors import KeyReused
from flowdapt.domain.run import RetryRequest, RunRequest, RunState, StageState
from flowdapt.domain.task import ErrorInfo, Failed, Finished, ItemFailure, Lost, Outcome
from flowdapt.testing import json_value
from tests.faults.town import Town
from tests.services.test_compute import Workflows, stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.town import Held

BOOM = ErrorInfo("builtins.ValueError", "boom", bases=("builtins.Exception",))
GONE = ErrorInfo("flowdapt.WorkerDied", "signal 9")
MAX_LOSSES = 3
TRIES = 3
# Newest first: what is under way is more often struck than what has ended.
ANY = st.integers(0, 99).map(lambda n: -1 - n)
T = TypeVar("T")


def workflows() -> Workflows:
    known = Workflows()
    retry = {"retry": {"max_attempts": TRIES, "initial": "2s", "factor": 2}}
    known.add("chain", stage("a"), stage("b", "a", **retry), stage("c", "b"))
    known.add(
        "diamond", stage("a"), stage("b", "a"), stage("c", "a", **retry), stage("d", "b", "c")
    )
    each = {"type": "parameterized", "allow_partial_failure": True}
    known.add("map", stage("a"), stage("each", "a", **each, **retry), stage("sum", "each"))
    known.add("one", stage("a"), concurrency={"max_runs": 1})
    known.add(
        "newest", stage("a"), stage("b", "a"), concurrency={"max_runs": 1, "when_full": "replace"}
    )
    known.add("hasty", stage("a", timeout="20s"), stage("b", "a"), timeout="1m")
    return known


def chosen(some: Iterable[T], which: int) -> T | None:
    """Return one of them, or None where there is none: what is drawn must not depend on what is there."""
    known = list(some)
    return known[which % len(known)] if known else None


def ending(held: Held, how: str) -> Outcome:
    """Return what becomes of a task."""
    if how == "lost":
        return Lost("killed", GONE)
    if how == "failed":
        return Failed(BOOM)
    call = held.call
    if call.map is None:
        return Finished(json_value([1, 2, 3]), 0.01)
    size = call.map.stop - call.map.start
    failures = (ItemFailure(call.map.start, BOOM),) if how == "partial" else ()
    values = [None if failures and n == 0 else n for n in range(size)]
    return Finished(json_value(values), 0.01, call.map.stop, failures)


class AnyOrder(RuleBasedStateMachine):
    """Clients, owners that die, workers that are lost, a store that is away, clocks that jump."""

    def __init__(self) -> None:
        super().__init__()
        self.town = Town(workflows())
        self.town.start()
        self.town.pass_time(1)
        # Dictionaries keep the order of events, which makes an example repeatable.
        self.accepted: dict[str, None] = {}
        self.keys: dict[tuple[str, str], tuple[str, int]] = {}
        self.ended: dict[str, tuple[Any, list[Any]]] = {}
        self.finished: dict[tuple[str, str], Any] = {}
        self.epochs: dict[str, int] = {}

    # -- clients -----------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(["chain", "diamond", "map", "one", "newest", "hasty"]),
        key=st.sampled_from([None, None, "k1", "k2"]),
        x=st.integers(0, 1),
    )
    def submit(self, name: str, key: str | None, x: int) -> None:
        told = self.town.ask(lambda runs: runs.submit(name, RunRequest(input={"x": x}), key=key))
        if isinstance(told, KeyReused):
            assert key is not None
            # Where the first answer was lost, which body came first is for the store to know.
            assert self.keys.get((name, key), ("", 1 - x))[1] != x
        elif isinstance(told, tuple):
            uid = told[0].uid
            self.accepted[uid] = None
            if key is not None:
                assert self.keys.setdefault((name, key), (uid, x)) == (uid, x)

    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        uid = chosen(self.accepted, which)
        if uid is None:
            return
        self.town.ask(lambda runs: runs.cancel(uid))

    @rule(which=ANY, edited=st.booleans())
    def retry(self, which: int, edited: bool) -> None:
        uid = chosen(self.ended, which)
        if uid is None:
            return
        request = RetryRequest(input={"x": 9}) if edited else RetryRequest()
        told = self.town.ask(lambda runs: runs.retry(uid, request))
        if isinstance(told, tuple):
            self.accepted[told[0].uid] = None

    @rule(which=ANY)
    def delete(self, which: int) -> None:
        uid = chosen(self.ended, which)
        if uid is None:
            return
        self.town.ask(lambda runs: runs.delete(uid))
        self.accepted.pop(uid, None)
        self.ended.pop(uid)
        self.finished = {at: row for at, row in self.finished.items() if at[0] != uid}
        self.keys = {at: (found, x) for at, (found, x) in self.keys.items() if found != uid}

    # -- work ----------------------------------------------------------------------------------------

    @rule(which=ANY, how=st.sampled_from(["finished", "finished", "partial", "failed", "lost"]))
    def end_a_task(self, which: int, how: str) -> None:
        held = chosen(self.town.held, which)
        if held is not None:
            self.town.tell(held, ending(held, how))

    @rule(seconds=st.sampled_from([0.005, 0.015, 0.025, 0.1, 1.0, 6.0, 25.0, 90.0]))
    def pass_time(self, seconds: float) -> None:
        self.town.pass_time(seconds)

    # -- faults --------------------------------------------------------------------------------------

    @rule()
    def kill_and_start(self) -> None:
        self.town.die()
        self.town.start()

    @rule()
    def start_another_while_the_old_one_goes_on(self) -> None:
        self.town.start()

    @rule()
    def lose_or_find_the_store(self) -> None:
        link = self.town.owners[-1].link
        link.out_of_order = not link.out_of_order

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 1.0, 3600.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.town.clock.jump_s += seconds

    # -- what always holds -----------------------------------------------------------------------------

    @invariant()
    def rows_are_sound(self) -> None:
        broken = self.town.broken()
        assert not broken, broken
        assert not self.town.wrongs, self.town.wrongs
        rows = self.town.rows()
        assert set(self.accepted) <= set(rows), "an accepted run is lost"
        active: dict[str, int] = {}
        for uid, (run, stages) in rows.items():
            self._never_goes_back(uid, run, stages)
            if run.workflow in ("one", "newest") and not run.state.terminal:
                active[run.workflow] = active.get(run.workflow, 0) + (
                    run.state is not RunState.QUEUED
                )
        assert all(count <= 1 for count in active.values()), active

    def _never_goes_back(self, uid: str, run: Any, stages: list[Any]) -> None:
        assert run.epoch >= self.epochs.get(uid, 0), "an epoch fell"
        self.epochs[uid] = run.epoch
        if uid in self.ended:
            assert (run, stages) == self.ended[uid], "a terminal run changed"
        elif run.state.terminal and uid in self.accepted:
            self.ended[uid] = (run, [copy(one) for one in stages])
        for one in stages:
            assert one.losses <= MAX_LOSSES
            assert one.attempt <= TRIES + 1
            if one.state is StageState.FINISHED:
                assert self.finished.setdefault((uid, one.name), one.result) == one.result
            else:
                assert (uid, one.name) not in self.finished, "a finished stage began again"

    def teardown(self) -> None:
        try:
            self._everything_ends()
        finally:
            self.town.end()

    def _everything_ends(self) -> None:
        self.town.die()
        self.town.start()
        for _ in range(400):
            # An hour for the clock that went back under a retry's instant.
            self.town.pass_time(30.0)
            while self.town.held:
                for held in list(self.town.held):
                    self.town.tell(held, ending(held, "finished"))
                self.town.pass_time(0.5)
            if all(run.state.terminal for run, _ in self.town.rows().values()):
                break
        states = {run.name: run.state for run, _ in self.town.rows().values()}
        assert all(state.terminal for state in states.values()), states
        self.rows_are_sound()


def explore(examples: int, steps: int, *, always_the_same: bool) -> None:
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=always_the_same,
            database=None,
            # Making an example smaller takes minutes; the one that was found is told as it is.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_steps_in_any_order_keep_every_invariant() -> None:
    explore(examples=20, steps=40, always_the_same=True)


@pytest.mark.faults
def test_six_thousand_steps_in_any_order_keep_every_invariant() -> None:
    explore(examples=100, steps=60, always_the_same=False)
