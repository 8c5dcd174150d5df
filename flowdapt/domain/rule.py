"""Decide what a stored trigger rule means: when it fires, for what, and what tells two timings apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flowdapt.domain.conditions import Condition, parse_condition
from flowdapt.domain.interval import parse_interval
from flowdapt.domain.resource import Outlook, Resource, canonical, digest_of
from flowdapt.domain.schedule import parse_schedule
from flowdapt.domain.timing import Times
from flowdapt.domain.trigger import TriggerRuleSpec

__all__ = ["Rule", "compile_rule", "outlook", "times_of"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A revision of a rule, ready to be asked. It has either `times` or a `condition`.

    `since` is when the rule was last written: a new timing has no past before it. `signature` is
    another one whenever the timing is.
    """

    name: str
    revision: int
    spec: TriggerRuleSpec
    signature: str
    since: datetime
    times: Times | None = None
    condition: Condition | None = None


def compile_rule(resource: Resource) -> Rule:
    """Return the rule of a stored resource. Raise InvalidInput or ValueError when it means nothing."""
    spec = TriggerRuleSpec.model_validate(resource.spec)
    metadata = resource.metadata
    if metadata.created_at is None or metadata.updated_at is None:
        raise ValueError(f"trigger rule {metadata.name!r} is not a stored one")
    timing = [metadata.uid, spec.type, resource.spec.get("rule"), spec.timezone, spec.enabled]
    return Rule(
        name=metadata.name,
        revision=metadata.revision or 0,
        spec=spec,
        signature=digest_of(canonical(timing)),
        since=metadata.updated_at,
        times=times_of(spec, metadata.created_at),
        condition=parse_condition(spec.rule) if spec.type == "condition" else None,
    )


def outlook(
    spec: TriggerRuleSpec, anchor: datetime, now: datetime, count: int = 5
) -> Outlook | None:
    """Return what to expect from now on; None for a condition. Raise InvalidInput as parsing does."""
    times = times_of(spec, anchor)
    if times is None:
        return None
    instants: list[datetime] = []
    following = times.after(now)
    while following is not None and len(instants) < count:
        instants.append(following)
        following = times.after(following)
    return Outlook(
        words=times.in_words(),
        per_day=round(times.per_day(), 3),
        timezone=spec.timezone,
        next=tuple(instants),
    )


def times_of(spec: TriggerRuleSpec, anchor: datetime) -> Times | None:
    """Return the instants of a schedule or an interval, None for a condition."""
    if spec.type == "schedule":
        return parse_schedule(spec.rule, spec.timezone)
    if spec.type == "interval":
        return parse_interval(spec.rule, anchor=anchor)
    return None
