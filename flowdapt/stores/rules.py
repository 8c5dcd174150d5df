"""Write and read what is known of trigger rules beside their documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from flowdapt.domain.fire import RuleState
from flowdapt.domain.trigger_facts import rule_paused, rule_resumed
from flowdapt.stores import prepared as sql
from flowdapt.stores.journal import write_own
from flowdapt.stores.links import Tx
from flowdapt.stores.records import moment
from flowdapt.stores.refusals import no_rule_state
from flowdapt.stores.trigger_records import rule_state_from_row, rule_state_row

__all__ = ["begin_generation", "find", "list_states", "pause", "put", "resume"]


def list_states(tx: Tx) -> Mapping[str, RuleState]:
    """Return the states of all rules."""
    states = map(rule_state_from_row, tx.all(sql.LIST_RULE_STATES))
    return {state.rule: state for state in states}


def find(tx: Tx, rule: str) -> RuleState | None:
    row = tx.one(sql.GET_RULE_STATE, (rule,))
    return None if row is None else rule_state_from_row(row)


def _get(tx: Tx, rule: str) -> RuleState:
    tx.lock(f"rule {rule}")
    state = find(tx, rule)
    if state is None:
        raise no_rule_state(rule)
    return state


def put(tx: Tx, state: RuleState) -> RuleState:
    tx.run(sql.PUT_RULE_STATE, rule_state_row(state))
    return state


def begin_generation(tx: Tx, rule: str, signature: str, not_before: datetime) -> RuleState:
    """Begin a generation unless the signature is the present one's."""
    tx.lock(f"rule {rule}")
    old = find(tx, rule)
    if old is None:
        return put(tx, RuleState(rule, signature, 1, not_before, not_before))
    if old.signature == signature:
        return old
    return put(
        tx,
        replace(
            old,
            signature=signature,
            generation=old.generation + 1,
            not_before=not_before,
            last_evaluated_at=not_before,
        ),
    )


def pause(tx: Tx, rule: str, reason: str) -> RuleState:
    """Pause; a paused rule stays as it is."""
    state = _get(tx, rule)
    if state.paused_at is not None:
        return state
    paused = put(tx, replace(state, paused_at=moment(tx.now()), paused_reason=reason))
    write_own(tx, [rule_paused(paused)])
    return paused


def resume(tx: Tx, rule: str) -> RuleState:
    """Go on from now."""
    state = _get(tx, rule)
    if state.paused_at is None:
        return state
    now = max(moment(tx.now()), state.last_evaluated_at)
    resumed = put(
        tx,
        replace(
            state,
            paused_at=None,
            paused_reason=None,
            failures=0,
            not_before=now,
            last_evaluated_at=now,
        ),
    )
    write_own(tx, [rule_resumed(resumed)])
    return resumed
