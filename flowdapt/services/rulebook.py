"""Know the trigger rules as they are: compiled, with their stored state, ordered by when they are due.

What a rule does when it is due is `triggers.py`. A rule that means nothing is kept apart with the reason
and touches no other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.events import (
    RESOURCE_APPLIED,
    RESOURCE_DELETED,
    TRIGGER_PAUSED,
    TRIGGER_RESUMED,
)
from flowdapt.domain.fire import RuleState
from flowdapt.domain.resource import Resource
from flowdapt.domain.rule import Rule, compile_rule
from flowdapt.ports.store import Store
from flowdapt.services.catalog import iter_resources

__all__ = ["TELLS_OF_RULES", "Armed", "Rulebook"]

log = structlog.get_logger(__name__)

# What the journal tells of rules: after any of these they are read anew.
TELLS_OF_RULES = (RESOURCE_APPLIED, RESOURCE_DELETED, TRIGGER_PAUSED, TRIGGER_RESUMED)


@dataclass(slots=True)
class Armed:
    """A rule that may fire, and how far it has come. `next_at`: when its times are to be looked at."""

    rule: Rule
    state: RuleState
    next_at: datetime | None = None

    def evaluated(self, to: datetime) -> None:
        """Note what was decided, as the store did."""
        latest = max(to, self.state.last_evaluated_at)
        self.state = replace(self.state, last_evaluated_at=latest)


class Rulebook:
    """The rules that may fire at present, and the broken ones with their reasons."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiled: dict[tuple[str, int], Rule] = {}
        self._armed: dict[str, Armed] = {}
        self._idle: dict[str, Armed] = {}
        self._by_type: dict[str, list[Armed]] = {}
        self._for_any: list[Armed] = []
        self._due: list[tuple[datetime, str]] = []
        self._read_to: int | None = None
        self.broken: Mapping[str, str] = {}

    # -- keeping it true ---------------------------------------------------------------------------

    async def refresh(self, *, at_once: bool = False) -> bool:
        """Read the rules anew when the journal tells of a change; return whether they were."""
        if not at_once and self._read_to is not None and not await self._changed(self._read_to):
            return False
        self._read_to = await self._store.newest_cursor()
        await self._read()
        return True

    async def _changed(self, after: int) -> bool:
        newest = await self._store.newest_cursor()
        if newest <= after:
            return False
        told = await self._store.list_events(after=after, types=TELLS_OF_RULES, limit=1)
        if not told:
            self._read_to = newest
        return bool(told)

    async def _read(self) -> None:
        states = dict(await self._store.list_rule_states())
        compiled: dict[tuple[str, int], Rule] = {}
        broken: dict[str, str] = {}
        armed: dict[str, Armed] = {}
        idle: dict[str, Armed] = {}
        async for resource in iter_resources(self._store, "trigger_rule"):
            rule = self._compile(resource, broken)
            if rule is None:
                continue
            compiled[_key(resource)] = rule
            state = states.get(rule.name)
            if state is None or state.signature != rule.signature:
                state = await self._store.begin_generation(
                    rule.name, signature=rule.signature, not_before=rule.since
                )
            fires = rule.spec.enabled and state.paused_at is None
            (armed if fires else idle)[rule.name] = Armed(rule, state)
        self._compiled, self.broken = compiled, broken
        self._armed, self._idle = armed, idle
        self._arrange()

    def _compile(self, resource: Resource, broken: dict[str, str]) -> Rule | None:
        known = self._compiled.get(_key(resource))
        if known is not None:
            return known
        name = resource.metadata.name
        try:
            return compile_rule(resource)
        except (FlowdaptError, ValueError) as error:
            broken[name] = error.message if isinstance(error, FlowdaptError) else str(error)
            log.warning("a trigger rule means nothing", rule=name, reason=broken[name])
            return None

    def _arrange(self) -> None:
        self._by_type, self._for_any, self._due = {}, [], []
        for armed in self._armed.values():
            if armed.rule.condition is not None:
                self._index(armed, armed.rule.condition.types())
            if armed.rule.times is not None:
                since = max(armed.state.not_before, armed.state.last_evaluated_at)
                self.look_again(armed, armed.rule.times.after(since))

    def _index(self, armed: Armed, types: Iterable[str] | None) -> None:
        if types is None:
            self._for_any.append(armed)
        for kind in types or ():
            self._by_type.setdefault(kind, []).append(armed)

    # -- asking ------------------------------------------------------------------------------------

    def find(self, name: str) -> Armed | None:
        """Return a rule that may fire."""
        return self._armed.get(name)

    def find_idle(self, name: str) -> Armed | None:
        """Return a rule that is paused or disabled: it fires by hand alone."""
        return self._idle.get(name)

    @property
    def paused(self) -> int:
        """Return how many rules are paused."""
        return sum(one.state.paused_at is not None for one in self._idle.values())

    @property
    def known(self) -> int:
        """Return how many rules there are, those that mean nothing among them."""
        return len(self._compiled) + len(self.broken)

    @property
    def has_conditions(self) -> bool:
        return bool(self._by_type or self._for_any)

    @property
    def has_queues(self) -> bool:
        """Say whether a fire of any rule may wait for a run to end."""
        return any(armed.rule.spec.overlap == "queue_one" for armed in self._armed.values())

    def conditions(self, kind: str) -> Iterator[Armed]:
        """Yield the condition rules that an event of this type may fire."""
        yield from self._by_type.get(kind, ())
        yield from self._for_any

    def earliest_condition(self) -> datetime | None:
        """Return the instant before which no condition looks at an event."""
        found = [
            armed.state.not_before
            for armed in self._armed.values()
            if armed.rule.condition is not None
        ]
        return min(found, default=None)

    def look_again(self, armed: Armed, at: datetime | None) -> None:
        """Have a rule's times looked at then."""
        armed.next_at = at
        if at is not None:
            heapq.heappush(self._due, (at, armed.rule.name))

    def next_at(self) -> datetime | None:
        """Return when the next rule is to be looked at."""
        while self._due:
            at, name = self._due[0]
            armed = self._armed.get(name)
            if armed is not None and armed.next_at == at:
                return at
            heapq.heappop(self._due)
        return None

    def take_due(self, now: datetime) -> list[Armed]:
        """Take the rules whose instant has come, the longest due first."""
        taken: list[Armed] = []
        while (at := self.next_at()) is not None and at <= now:
            armed = self._armed[heapq.heappop(self._due)[1]]
            armed.next_at = None
            taken.append(armed)
        return taken


def _key(resource: Resource) -> tuple[str, int]:
    return resource.metadata.uid or "", resource.metadata.revision or 0
