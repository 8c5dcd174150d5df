"""Say what a trigger rule would do, clause by clause, for an event or at this moment; change nothing."""

from __future__ import annotations

from typing import Any

import trio

from flowdapt.domain.conditions import Clause, Condition
from flowdapt.domain.errors import InvalidInput, NotFound
from flowdapt.domain.events import Event
from flowdapt.domain.fire import MAX_DEPTH, RuleState
from flowdapt.domain.firing import RuleClock, decide
from flowdapt.domain.rule import Rule
from flowdapt.domain.run import RunState
from flowdapt.domain.seen_event import seen_event
from flowdapt.domain.trigger_views import ActionPreview, GivenEvent, TriggerTest
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import RunFilter, Store
from flowdapt.services.planning import Cause, Planner

__all__ = ["Rehearsal", "chosen_event"]

_PAGE = 500
_OPEN = frozenset(state.value for state in RunState if not state.terminal)


class Rehearsal:
    """Tests rules against events and instants."""

    def __init__(self, store: Store, clock: Clock, planner: Planner) -> None:
        self._store = store
        self._clock = clock
        self._planner = planner

    async def test(
        self, rule: Rule, state: RuleState | None, event: GivenEvent | int | str | None
    ) -> TriggerTest:
        """Return what the rule would do; a condition for the newest event of its types unless one is given."""
        if rule.condition is None:
            if event is not None:
                raise InvalidInput(
                    f"trigger rule {rule.name!r} is one of time: it looks at no event",
                    code="trigger.no_condition",
                    fix=f"flowdapt trigger test {rule.name}",
                )
            return await self._at_this_moment(rule, state)
        if event is None:
            seen = await self._newest(rule.name, rule.condition)
        else:
            seen, _ = await chosen_event(self._store, event)
        return await self._on_event(rule, state, seen)

    async def _newest(self, name: str, condition: Condition) -> dict[str, Any]:
        types = sorted(condition.types() or ())
        found = await self._store.list_events(types=types, newest=True, limit=1)
        if not found:
            raise InvalidInput(
                f"the journal has no event that trigger rule {name!r} could look at",
                code="trigger.no_event",
                fix="give one as a file, or the cursor of one: flowdapt events -o wide",
            )
        return seen_event(found[0])

    async def _on_event(
        self, rule: Rule, state: RuleState | None, seen: dict[str, Any]
    ) -> TriggerTest:
        assert rule.condition is not None
        depth = int(seen.get("causation_depth") or 0)
        cause = Cause("condition", self._clock.now(), event=seen, depth=depth + 1)
        # What looks at all it may takes long: the loop goes on meanwhile.
        holds, clause = await trio.to_thread.run_sync(_judged, rule.condition, seen)
        actions = await self._planner.preview(rule, cause)
        obstacles = await self._obstacles(rule, state, actions)
        if depth >= MAX_DEPTH:
            obstacles.append(f"a chain of {depth + 1} causes is taken for a loop")
        return TriggerTest(
            rule=rule.name,
            type=rule.spec.type,
            holds=holds,
            fires=holds and not obstacles,
            obstacles=tuple(obstacles),
            event=seen,
            clause=clause,
            actions=actions,
        )

    async def _at_this_moment(self, rule: Rule, state: RuleState | None) -> TriggerTest:
        assert rule.times is not None
        now = self._clock.now()
        place = RuleClock(0, rule.since, rule.since)
        if state is not None and state.signature == rule.signature:
            place = RuleClock(state.generation, state.not_before, state.last_evaluated_at)
        spec = rule.spec
        due = decide(rule.times, place, now, catch_up=spec.catch_up, grace_s=spec.misfire_grace)
        instants = tuple(slot.scheduled_at for slot in due.fire)
        following = rule.times.after(max(now, place.since))
        shown_for = instants[0] if instants else following
        cause = Cause(spec.type, now, scheduled_at=shown_for)
        actions = await self._planner.preview(rule, cause)
        obstacles = await self._obstacles(rule, state, actions)
        return TriggerTest(
            rule=rule.name,
            type=spec.type,
            holds=bool(instants),
            fires=bool(instants) and not obstacles,
            obstacles=tuple(obstacles),
            due=instants,
            missed=due.missed.count if due.missed else 0,
            next_at=following,
            actions=actions,
        )

    async def _obstacles(
        self, rule: Rule, state: RuleState | None, actions: tuple[ActionPreview, ...]
    ) -> list[str]:
        found = [] if rule.spec.enabled else ["the rule is disabled"]
        if state is not None and state.paused_at is not None:
            found.append(f"the rule is paused: {state.paused_reason}")
        found += [f"{one.target} cannot be done: {one.error}" for one in actions if one.error]
        if rule.spec.overlap == "forbid":
            where = RunFilter(states=_OPEN, trigger=rule.name)
            page = await self._store.list_runs(where, limit=1)
            found += [f"its run {run.name} is still open (overlap: forbid)" for run in page.items]
        return found


def _judged(condition: Condition, seen: dict[str, Any]) -> tuple[bool, Clause]:
    return condition.holds(seen), condition.explain(seen)


async def chosen_event(
    store: Store, choice: GivenEvent | int | str
) -> tuple[dict[str, Any], int | None]:
    """Return an event as conditions see it, and its cursor when it is one of the journal.

    Raise NotFound when the journal has none of that cursor or id.
    """
    if isinstance(choice, GivenEvent):
        return choice.seen(), None
    event = await (_at(store, choice) if isinstance(choice, int) else _named(store, choice))
    if event is None:
        raise NotFound(
            f"the journal has no event {choice!r}",
            code="event.not_found",
            fix="flowdapt events -o wide  lists them by cursor",
        )
    return seen_event(event), event.cursor


async def _at(store: Store, cursor: int) -> Event | None:
    found = await store.list_events(after=cursor - 1, limit=1)
    return found[0] if found and found[0].cursor == cursor else None


async def _named(store: Store, id_: str) -> Event | None:
    """Read the journal through: events are kept by cursor, ids are for repeats alone."""
    after = 0
    while True:
        page = await store.list_events(after=after, limit=_PAGE)
        found = next((event for event in page if event.id == id_), None)
        if found is not None or len(page) < _PAGE:
            return found
        after = page[-1].cursor
