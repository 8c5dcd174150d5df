"""Decide how fires and rules are told in the journal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from flowdapt.domain.events import (
    DELIVERY_FAILED,
    TRIGGER_FAILED,
    TRIGGER_FIRED,
    TRIGGER_MISSED,
    TRIGGER_PAUSED,
    TRIGGER_RESUMED,
    TRIGGER_SKIPPED,
    TRIGGER_WAITING,
    EventDraft,
)
from flowdapt.domain.fire import Delivery, Fire, FireState, RuleState

__all__ = ["delivery_failed", "fire_event", "rule_paused", "rule_resumed"]

_TYPES = {
    FireState.STARTED: TRIGGER_FIRED,
    FireState.WAITING: TRIGGER_WAITING,
    FireState.SKIPPED: TRIGGER_SKIPPED,
    FireState.MISSED: TRIGGER_MISSED,
    FireState.FAILED: TRIGGER_FAILED,
}


def fire_event(fire: Fire, depth: int) -> EventDraft:
    """Return the event of a fire; its `depth` in the chain of causes is that of what it starts."""
    data = fire.model_dump(mode="json", exclude={"fired_at"}, exclude_none=True)
    return _of_rule(_TYPES[fire.state], fire.rule, data, depth)


def rule_paused(state: RuleState) -> EventDraft:
    """Return the event of a rule that fires no more until it is resumed."""
    data = {"rule": state.rule, "reason": state.paused_reason, "failures": state.failures}
    return _of_rule(TRIGGER_PAUSED, state.rule, data, 0)


def rule_resumed(state: RuleState) -> EventDraft:
    """Return the event of a rule that goes on."""
    return _of_rule(TRIGGER_RESUMED, state.rule, {"rule": state.rule}, 0)


def delivery_failed(delivery: Delivery, id_: str, error: str, depth: int) -> EventDraft:
    """Return the event of an action that is given up; told twice it is the same event."""
    data = {
        "rule": delivery.rule,
        "fire": delivery.fire,
        "action": delivery.action,
        "delivery": id_,
        "tries": delivery.attempt,
        "error": error,
    }
    event = _of_rule(DELIVERY_FAILED, delivery.rule, data, depth)
    return replace(event, id=f"{id_}-failed")


def _of_rule(kind: str, rule: str, data: dict[str, Any], depth: int) -> EventDraft:
    text = json.dumps(data, ensure_ascii=False)
    return EventDraft(kind, f"trigger/{rule}", text, correlation_id=rule, causation_depth=depth)
