"""Keep what triggers need in memory, with the promises of the port."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import trio

from flowdapt.domain.deciding import alone, as_fire, counted, is_stale, placed, too_many
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.fire import (
    Delivery,
    DeliveryState,
    Fire,
    Fired,
    FireState,
    NewFire,
    Overlap,
    RuleState,
)
from flowdapt.domain.records import NewRun, Submission
from flowdapt.domain.trigger_facts import fire_event, rule_paused, rule_resumed
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Page
from flowdapt.stores import refusals
from flowdapt.stores.memory_lists import page_of
from flowdapt.stores.memory_runs import HeldRun, MemoryRuns

__all__ = ["MemoryTriggers"]


@dataclass(slots=True)
class _Due:
    delivery: Delivery
    next_at: datetime
    state: DeliveryState = DeliveryState.PENDING


@dataclass(slots=True)
class _Held:
    """Everything a memory store keeps for triggers."""

    states: dict[str, RuleState] = field(default_factory=dict)
    fires: dict[int, Fire] = field(default_factory=dict)
    deliveries: dict[int, _Due] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)


class MemoryTriggers(MemoryRuns):
    """The part of the memory store that deals with triggers."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._triggers = _Held()

    @abstractmethod
    def _rule_revision(self, rule: str) -> int | None:
        """Return the revision of the rule's document, None without one."""

    # -- rules -----------------------------------------------------------------------------------

    async def list_rule_states(self) -> Mapping[str, RuleState]:
        await trio.lowlevel.checkpoint()
        return dict(self._triggers.states)

    async def begin_generation(
        self, rule: str, *, signature: str, not_before: datetime
    ) -> RuleState:
        await trio.lowlevel.checkpoint()
        states, old = self._triggers.states, self._triggers.states.get(rule)
        if old is None:
            states[rule] = RuleState(rule, signature, 1, not_before, not_before)
        elif old.signature != signature:
            states[rule] = replace(
                old,
                signature=signature,
                generation=old.generation + 1,
                not_before=not_before,
                last_evaluated_at=not_before,
            )
        return states[rule]

    def _state(self, rule: str) -> RuleState:
        if rule not in self._triggers.states:
            raise refusals.no_rule_state(rule)
        return self._triggers.states[rule]

    async def pause_rule(self, rule: str, *, reason: str) -> RuleState:
        await trio.lowlevel.checkpoint()
        state = self._state(rule)
        if state.paused_at is None:
            state = replace(state, paused_at=self._clock.now(), paused_reason=reason)
            self._triggers.states[rule] = state
            self._journal.add(rule_paused(state))
        return state

    async def resume_rule(self, rule: str) -> RuleState:
        await trio.lowlevel.checkpoint()
        state = self._state(rule)
        if state.paused_at is not None:
            now = max(self._clock.now(), state.last_evaluated_at)
            state = RuleState(rule, state.signature, state.generation, now, now)
            self._triggers.states[rule] = state
            self._journal.add(rule_resumed(state))
        return state

    # -- fires -----------------------------------------------------------------------------------

    async def fire(self, new: NewFire) -> Fired:
        await trio.lowlevel.checkpoint()
        old = self._decided(new)
        if old is not None:
            return Fired(old, created=False)
        state = self._triggers.states.get(new.rule)
        if state is None or is_stale(new, self._rule_revision(new.rule), state):
            raise refusals.stale_rule(new.rule)
        recent = self._recent(new.rule)
        if too_many(new, len(recent)):
            new = alone(new, FireState.SKIPPED, "rate")
            if any(fire.reason == "rate" for fire in recent):
                return Fired(as_fire(new, self._clock.now()), created=False)
        open_runs = list(self._open_of(new.rule))
        new = placed(new, open_runs=len(open_runs), waiting=self._waiting(new.rule))
        if new.waiting is not None and new.state is FireState.WAITING:
            return Fired(self._triggers.fires[new.waiting], created=False)
        replaced = open_runs if new.overlap is Overlap.REPLACE and new.runs else []
        for held in replaced:
            self._cancel(held, "replaced")
        return self._write_fire(new, state, [held.run.uid for held in replaced])

    def _decided(self, new: NewFire) -> Fire | None:
        if new.waiting is not None:
            waits = self._triggers.fires.get(new.waiting)
            if waits is None:
                raise refusals.stale_rule(new.rule)
            return None if waits.state is FireState.WAITING else waits
        slot = (new.rule, new.generation, new.scheduled_at)
        for fire in self._triggers.fires.values():
            same_slot = slot == (fire.rule, fire.generation, fire.scheduled_at)
            same_event = (new.rule, new.event_id) == (fire.rule, fire.event_id)
            if (new.scheduled_at and same_slot) or (new.event_id and same_event):
                return fire
        return None

    def _recent(self, rule: str) -> list[Fire]:
        since = self._clock.now() - timedelta(minutes=1)
        return [
            fire
            for fire in self._triggers.fires.values()
            if fire.rule == rule and fire.kind == "condition" and fire.fired_at > since
        ]

    def _open_of(self, rule: str) -> Iterator[HeldRun]:
        return (
            held
            for held in self._runs.values()
            if held.run.trigger_rule == rule and not held.run.state.terminal
        )

    def _waiting(self, rule: str) -> bool:
        return any(
            fire.rule == rule and fire.state is FireState.WAITING
            for fire in self._triggers.fires.values()
        )

    def _write_fire(self, new: NewFire, state: RuleState, replaced: list[str]) -> Fired:
        submissions = self._submit_all(new.runs)
        fire = self._keep(as_fire(new, self._clock.now()))
        for one in new.deliveries:
            number = len(self._triggers.deliveries) + 1
            delivery = Delivery(
                number, new.rule, fire.number, one.action, one.parameters, one.occasion, 0
            )
            self._triggers.deliveries[number] = _Due(delivery, self._clock.now())
        after = counted(state, new, self._clock.now())
        self._triggers.states[new.rule] = after
        paused = after.paused_at is not None and state.paused_at is None
        for draft in [fire_event(fire, new.depth), *new.events]:
            self._journal.add(draft)
        if paused:
            self._journal.add(rule_paused(after))
        return Fired(fire, True, submissions, tuple(replaced), paused)

    def _submit_all(self, runs: Sequence[NewRun]) -> list[Submission]:
        done: list[Submission] = []
        try:
            done.extend(self._submit(one) for one in runs)
        except FlowdaptError:
            for submission in done:
                self._forget(submission.run.uid)
            raise
        return done

    def _keep(self, fire: Fire) -> Fire:
        number = fire.number or len(self._triggers.fires) + 1
        self._triggers.fires[number] = fire.model_copy(update={"number": number})
        return self._triggers.fires[number]

    async def end_waiting(self, number: int, *, reason: str) -> bool:
        await trio.lowlevel.checkpoint()
        fire = self._triggers.fires.get(number)
        if fire is None or fire.state is not FireState.WAITING:
            return False
        ended = fire.model_copy(update={"state": FireState.SKIPPED, "reason": reason})
        self._journal.add(fire_event(self._keep(ended), 0))
        return True

    async def list_fires(
        self,
        *,
        rule: str | None = None,
        states: Sequence[str] = (),
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Fire]:
        await trio.lowlevel.checkpoint()
        found = [
            fire
            for _, fire in sorted(self._triggers.fires.items(), reverse=True)
            if rule in (None, fire.rule) and (not states or fire.state.value in states)
        ]
        return page_of(found, "fire", lambda fire: (-fire.number,), (int,), cursor, limit)

    async def waiting_fires(self) -> list[Fire]:
        await trio.lowlevel.checkpoint()
        return [
            fire
            for _, fire in sorted(self._triggers.fires.items())
            if fire.state is FireState.WAITING and not any(self._open_of(fire.rule))
        ]

    # -- deliveries and places in the journal -----------------------------------------------------

    async def claim_deliveries(
        self, *, limit: int, lease_s: float, skip_rules: Collection[str] = ()
    ) -> list[Delivery]:
        await trio.lowlevel.checkpoint()
        now = self._clock.now()
        taken: list[Delivery] = []
        for due in sorted(self._triggers.deliveries.values(), key=lambda due: due.next_at):
            wanted = due.state is DeliveryState.PENDING and due.delivery.rule not in skip_rules
            if wanted and due.next_at <= now and len(taken) < limit:
                due.next_at = now + timedelta(seconds=lease_s)
                due.delivery = replace(due.delivery, attempt=due.delivery.attempt + 1)
                taken.append(due.delivery)
        return taken

    async def end_delivery(
        self, number: int, state: DeliveryState, *, error: str | None, again_at: datetime | None
    ) -> None:
        await trio.lowlevel.checkpoint()
        due = self._triggers.deliveries[number]
        due.state = state
        due.next_at = again_at or self._clock.now()

    async def get_cursor(self, consumer: str) -> int | None:
        await trio.lowlevel.checkpoint()
        return self._triggers.cursors.get(consumer)

    async def move_cursor(self, consumer: str, cursor: int) -> None:
        await trio.lowlevel.checkpoint()
        held = self._triggers.cursors
        held[consumer] = max(cursor, held.get(consumer, cursor))

    async def newest_cursor(self, *, before: datetime | None = None) -> int:
        await trio.lowlevel.checkpoint()
        return self._journal.newest(before)
