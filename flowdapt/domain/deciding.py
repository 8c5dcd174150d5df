"""Decide what becomes of a fire that meets others of its rule, and what its rule has come to by it.

Stores look up what these need and write what they answer, in one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from flowdapt.domain.fire import (
    FIRES_PER_MINUTE,
    PAUSE_AFTER,
    Fire,
    FireState,
    NewFire,
    Overlap,
    RuleState,
)

__all__ = ["alone", "as_fire", "counted", "is_stale", "placed", "too_many"]


def is_stale(new: NewFire, revision: int | None, state: RuleState | None) -> bool:
    """Say whether the rule is not any more what the fire was planned from."""
    if state is None or revision != new.revision or state.generation != new.generation:
        return True
    return state.paused_at is not None and new.kind != "manual"


def too_many(new: NewFire, recent: int) -> bool:
    """Say whether a condition has fired too often within the last minute."""
    starts = new.kind == "condition" and new.state is FireState.STARTED
    return starts and recent >= FIRES_PER_MINUTE


def placed(new: NewFire, *, open_runs: int, waiting: bool) -> NewFire:
    """Return the fire as it is stored while runs of its rule are open.

    `waiting`: another fire of the rule waits already.
    """
    if new.state is not FireState.STARTED:
        return alone(new, new.state, new.reason)
    if not open_runs or new.overlap in (Overlap.ALLOW, Overlap.REPLACE):
        return new
    if new.overlap is Overlap.FORBID:
        return alone(new, FireState.SKIPPED, "overlap")
    if new.waiting is not None:
        return alone(new, FireState.WAITING, "overlap")
    if waiting:
        return alone(new, FireState.SKIPPED, "waiting")
    return alone(new, FireState.WAITING, "overlap")


def alone(new: NewFire, state: FireState, reason: str | None) -> NewFire:
    """Return the fire in a state in which it starts nothing."""
    return replace(new, state=state, reason=reason, runs=[], events=[], deliveries=[])


def as_fire(new: NewFire, now: datetime) -> Fire:
    """Return what is stored of a fire; its number is 0 until a store gives it one."""
    return Fire(
        number=new.waiting or 0,
        rule=new.rule,
        generation=new.generation,
        kind=new.kind,
        scheduled_at=new.scheduled_at,
        event_id=new.event_id,
        event_cursor=new.event_cursor,
        state=new.state,
        reason=new.reason,
        error=new.error,
        slots=new.slots,
        until=new.until,
        fired_at=now,
        runs=tuple(one.run.uid for one in new.runs),
    )


def counted(state: RuleState, new: NewFire, now: datetime) -> RuleState:
    """Return the rule's state after the fire: what is evaluated, failures in a row, the pause they bring."""
    failures = state.failures
    if new.state is FireState.FAILED:
        failures += 1
    elif new.state is FireState.STARTED:
        failures = 0
    evaluated = max(new.evaluated_to or state.last_evaluated_at, state.last_evaluated_at)
    after = replace(state, failures=failures, last_evaluated_at=evaluated)
    if failures < PAUSE_AFTER or state.paused_at is not None:
        return after
    reason = f"{failures} fires in a row could not start"
    return replace(after, paused_at=now, paused_reason=reason)
