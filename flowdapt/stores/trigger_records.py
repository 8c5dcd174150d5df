"""Turn rule states, fires and deliveries into rows and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flowdapt.domain.fire import Fire, FireState, RuleState
from flowdapt.stores.records import micros, moment, moment_or_none

__all__ = ["fire_from_row", "fire_row", "rule_state_from_row", "rule_state_row"]

Row = Sequence[Any]


def rule_state_row(state: RuleState) -> tuple[Any, ...]:
    return (
        state.rule, state.signature, state.generation, micros(state.not_before),
        micros(state.last_evaluated_at), micros(state.paused_at), state.paused_reason,
        state.failures,
    )  # fmt: skip


def rule_state_from_row(row: Row) -> RuleState:
    return RuleState(
        rule=row[0], signature=row[1], generation=row[2], not_before=moment(row[3]),
        last_evaluated_at=moment(row[4]), paused_at=moment_or_none(row[5]), paused_reason=row[6],
        failures=row[7],
    )  # fmt: skip


def fire_row(fire: Fire) -> tuple[Any, ...]:
    """Return the row without its number."""
    return (
        fire.rule, fire.generation, fire.kind, micros(fire.scheduled_at), fire.event_id,
        fire.event_cursor, fire.state.value, fire.reason, fire.error, fire.slots,
        micros(fire.until), micros(fire.fired_at), json.dumps(fire.runs),
    )  # fmt: skip


def fire_from_row(row: Row) -> Fire:
    return Fire(
        number=row[0], rule=row[1], generation=row[2], kind=row[3],
        scheduled_at=moment_or_none(row[4]), event_id=row[5], event_cursor=row[6],
        state=FireState(row[7]), reason=row[8], error=row[9], slots=row[10],
        until=moment_or_none(row[11]), fired_at=moment(row[12]), runs=tuple(json.loads(row[13])),
    )  # fmt: skip
