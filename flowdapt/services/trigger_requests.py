"""Serve everything a client may ask of trigger rules: look, fire by hand, pause, resume, test.

Answers from the store, so that it need not live beside the trigger service; what a rule would do is
`rehearsal.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import trio

from flowdapt.domain.errors import Conflict, FlowdaptError, InvalidInput, StaleRule
from flowdapt.domain.events import TRIGGER_PAUSED, TRIGGER_RESUMED
from flowdapt.domain.fire import Fire, FireState, RuleState
from flowdapt.domain.resource import Outlook, Resource
from flowdapt.domain.rule import Rule, compile_rule, outlook
from flowdapt.domain.timing import Times
from flowdapt.domain.trigger_views import (
    EventChoice,
    TriggerState,
    TriggerStatus,
    TriggerTest,
)
from flowdapt.ports.broker import EVENT_ADDED, Broker, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Page, Store
from flowdapt.services.catalog import missing
from flowdapt.services.firing import Firing
from flowdapt.services.planning import Cause, Planner
from flowdapt.services.rehearsal import Rehearsal, chosen_event

__all__ = ["OUTLOOK_MAX", "TriggerRequests"]

OUTLOOK_MAX = 1_000
# A rule that is changed at every try is somebody else's business.
_RACES = 3


class TriggerRequests:
    """The requests about trigger rules."""

    def __init__(
        self, *, store: Store, broker: Broker, clock: Clock, firing: Firing, planner: Planner
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._firing = firing
        self._rehearsal = Rehearsal(store, clock, planner)

    # -- looking -------------------------------------------------------------------------------------

    async def list_(
        self, *, q: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> Page[TriggerStatus]:
        """List rules at a glance, by name; `q` is a part of the name."""
        page = await self._store.list_resources("trigger_rule", q=q, cursor=cursor, limit=limit)
        states = await self._store.list_rule_states()
        found = [await self._status(one, states) for one in page.items]
        return Page(found, page.next)

    async def status(self, name: str) -> TriggerStatus:
        """Return a rule at a glance. Raise NotFound with a suggestion."""
        return await self._status(await self._resource(name), await self._store.list_rule_states())

    async def outlook(self, name: str, count: int = 5) -> Outlook:
        """Return the next instants of a rule of time. Raise NotFound, Conflict for a condition."""
        resource = await self._resource(name)
        rule = _compiled(resource)
        made = resource.metadata.created_at or rule.since
        # A thousand leap days take a third of a second: the loop goes on meanwhile.
        found = await trio.to_thread.run_sync(
            outlook, rule.spec, made, self._clock.now(), min(count, OUTLOOK_MAX)
        )
        if found is None:
            raise Conflict(
                f"trigger rule {name!r} is a condition: it fires at events, and at no instants",
                code="trigger.no_times",
                fix=f"flowdapt trigger history {name}",
            )
        return found

    async def fires(
        self,
        name: str,
        *,
        states: Sequence[FireState] = (),
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Fire]:
        """List a rule's decisions, newest first; those of a deleted rule as long as they are kept."""
        page = await self._store.list_fires(
            rule=name, states=[state.value for state in states], cursor=cursor, limit=limit
        )
        if not page.items and cursor is None:
            await self._resource(name)
        return page

    async def test(self, name: str, choice: EventChoice) -> TriggerTest:
        """Say what a rule would do. Raise NotFound, InvalidInput without the event it needs."""
        rule = _compiled(await self._resource(name))
        state = (await self._store.list_rule_states()).get(name)
        return await self._rehearsal.test(rule, state, choice.event)

    # -- changing ------------------------------------------------------------------------------------

    async def fire(self, name: str, choice: EventChoice) -> Fire:
        """Fire by hand, paused and disabled rules too; what could not start is a failed fire."""
        for race in range(_RACES):
            rule, state = await self._known(name)
            try:
                cause = await self._cause(choice)
                return (await self._firing.fire(rule, state.generation, cause)).fire
            except StaleRule:
                if race == _RACES - 1:
                    raise
        raise AssertionError("the last race raises")

    async def _cause(self, choice: EventChoice) -> Cause:
        now = self._clock.now()
        if choice.event is None:
            return Cause("manual", now)
        seen, cursor = await chosen_event(self._store, choice.event)
        return Cause("manual", now, event=seen, event_cursor=cursor)

    async def pause(self, name: str, reason: str) -> TriggerStatus:
        """Keep a rule from firing by itself; a paused one stays as it is. Raise NotFound."""
        await self._known(name)
        await self._store.pause_rule(name, reason=reason)
        self._broker.publish(Message(EVENT_ADDED, TRIGGER_PAUSED))
        return await self.status(name)

    async def resume(self, name: str) -> TriggerStatus:
        """Let a rule go on from now. Raise NotFound."""
        await self._known(name)
        await self._store.resume_rule(name)
        self._broker.publish(Message(EVENT_ADDED, TRIGGER_RESUMED))
        return await self.status(name)

    # -- rules ---------------------------------------------------------------------------------------

    async def _resource(self, name: str) -> Resource:
        resource = await self._store.find_resource("trigger_rule", name)
        if resource is None:
            raise await missing(self._store, "trigger_rule", name)
        return resource

    async def _known(self, name: str) -> tuple[Rule, RuleState]:
        """Return a rule and its state, also when no trigger service has seen it yet."""
        rule = _compiled(await self._resource(name))
        state = await self._store.begin_generation(
            name, signature=rule.signature, not_before=rule.since
        )
        return rule, state

    async def _status(self, resource: Resource, states: Mapping[str, RuleState]) -> TriggerStatus:
        name = resource.metadata.name
        last = await self._newest(name)
        started = last
        if last is not None and last.state is not FireState.STARTED:
            started = await self._newest(name, FireState.STARTED)
        try:
            status = self._of_rule(compile_rule(resource), states.get(name))
        except (FlowdaptError, ValueError) as error:
            status = _broken(resource, error)
        return status.model_copy(update={"last": last, "last_started": started})

    async def _newest(self, name: str, *states: FireState) -> Fire | None:
        page = await self._store.list_fires(rule=name, states=states, limit=1)
        return page.items[0] if page.items else None

    def _of_rule(self, rule: Rule, state: RuleState | None) -> TriggerStatus:
        spec, times = rule.spec, rule.times
        paused = state is not None and state.paused_at is not None
        which = TriggerState.PAUSED if paused else TriggerState.ARMED
        if not spec.enabled:
            which = TriggerState.DISABLED
        since = max(self._clock.now(), state.last_evaluated_at if state else rule.since)
        words, per_day = ("", None) if times is None else _told(times)
        if rule.condition is not None:
            words = f"when {rule.condition.text}"
        return TriggerStatus(
            name=rule.name,
            revision=rule.revision,
            type=spec.type,
            state=which,
            words=words,
            description=spec.description,
            timezone=spec.timezone,
            per_day=per_day,
            overlap=spec.overlap,
            catch_up=spec.catch_up,
            actions=tuple(_action_words(one.target, one.parameters) for one in spec.all_actions),
            next_at=times.after(since) if times and which is TriggerState.ARMED else None,
            paused_at=state.paused_at if state else None,
            paused_reason=state.paused_reason if state else None,
            failures=state.failures if state else 0,
        )


# Counting the fires of 28 years takes a millisecond, and whoever watches asks every few seconds.
@lru_cache(maxsize=1024)
def _told(times: Times) -> tuple[str, float | None]:
    """Return a rule of time in words, and how often it fires in a day."""
    return times.in_words(), round(times.per_day(), 3)


def _compiled(resource: Resource) -> Rule:
    try:
        return compile_rule(resource)
    except (FlowdaptError, ValueError) as error:
        name = resource.metadata.name
        raise InvalidInput(
            f"trigger rule {name!r} means nothing: {_said(error)}",
            code="trigger.broken",
            fix=f"flowdapt edit trigger {name}",
        ) from None


def _said(error: Exception) -> str:
    return error.message if isinstance(error, FlowdaptError) else str(error)


def _broken(resource: Resource, error: Exception) -> TriggerStatus:
    return TriggerStatus(
        name=resource.metadata.name,
        revision=resource.metadata.revision or 0,
        type=str(resource.spec.get("type", ""))[:40],
        state=TriggerState.BROKEN,
        broken=_said(error),
    )


def _action_words(target: str, parameters: Mapping[str, object]) -> str:
    """Return an action on a few words: what it is, and the one thing that tells it from others."""
    about = next((parameters[key] for key in _TELLING if key in parameters), None)
    return f"{target} {about}" if isinstance(about, str) else target


# Of built-in actions; a webhook's address may hold a secret.
_TELLING = ("workflow", "type")
