"""Decide what a fire writes: itself, its runs and events and deliveries, and its rule's state, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

from flowdapt.domain.deciding import alone, as_fire, counted, is_stale, placed, too_many
from flowdapt.domain.fire import Fire, Fired, FireState, NewFire, Overlap, RuleState
from flowdapt.domain.records import Submission
from flowdapt.domain.trigger_facts import fire_event, rule_paused
from flowdapt.failpoints import failpoint
from flowdapt.ports.store import Page
from flowdapt.stores import prepared as sql
from flowdapt.stores import rules
from flowdapt.stores.asking import Question
from flowdapt.stores.cancelling import request_cancel
from flowdapt.stores.cursors import page_size, read_cursor, write_cursor
from flowdapt.stores.journal import write_own
from flowdapt.stores.links import Tx
from flowdapt.stores.prepared import COLUMNS
from flowdapt.stores.records import micros, moment
from flowdapt.stores.refusals import stale_rule
from flowdapt.stores.submitting import Backlog, submit
from flowdapt.stores.texts import Texts
from flowdapt.stores.trigger_records import fire_from_row, fire_row

__all__ = ["end_waiting", "fire", "list_fires", "waiting_fires"]

_MINUTE_US = 60_000_000


def fire(tx: Tx, texts: Texts, backlog: Backlog, new: NewFire) -> Fired:
    """Write a fire with all it starts; see `TriggerStore.fire`."""
    tx.lock(f"rule {new.rule}")
    old = _decided(tx, new)
    if old is not None:
        return Fired(old, created=False)
    state = _current(tx, new)
    recent, told = _recent(tx, new)
    if too_many(new, recent):
        new = alone(new, FireState.SKIPPED, "rate")
        if told:
            return Fired(as_fire(new, moment(tx.now())), created=False)
    open_runs = [str(row[0]) for row in tx.all(sql.OPEN_OF_RULE, (new.rule,))]
    waiting = tx.one(sql.WAITING_OF_RULE, (new.rule,)) is not None
    new = placed(new, open_runs=len(open_runs), waiting=waiting)
    if new.waiting is not None and new.state is FireState.WAITING:
        return Fired(as_fire(new, moment(tx.now())), created=False)
    replaced = open_runs if new.overlap is Overlap.REPLACE and new.runs else []
    for uid in replaced:
        request_cancel(tx, uid, "replaced")
    submissions, stored = _write(tx, texts, backlog, new)
    after = _count(tx, new, state)
    paused = after.paused_at is not None and state.paused_at is None
    told_of = [fire_event(stored, new.depth), *new.events]
    write_own(tx, [*told_of, rule_paused(after)] if paused else told_of)
    return Fired(stored, True, submissions, tuple(replaced), paused)


def _decided(tx: Tx, new: NewFire) -> Fire | None:
    """Return the fire that decided the same slot or event already, or no longer waits."""
    if new.waiting is not None:
        row = tx.one(sql.GET_FIRE, (new.waiting,))
        waits = row is not None and fire_from_row(row).state is FireState.WAITING
        if waits:
            return None
        if row is None:
            raise stale_rule(new.rule)
    elif new.scheduled_at is not None:
        slot = (new.rule, new.generation, micros(new.scheduled_at))
        row = tx.one(sql.FIRE_OF_SLOT, slot)
    elif new.event_id is not None:
        row = tx.one(sql.FIRE_OF_EVENT, (new.rule, new.event_id))
    else:
        row = None
    return None if row is None else fire_from_row(row)


def _current(tx: Tx, new: NewFire) -> RuleState:
    row = tx.one(sql.RULE_REVISION, (new.rule,))
    state = rules.find(tx, new.rule)
    if state is None or is_stale(new, None if row is None else int(row[0]), state):
        raise stale_rule(new.rule)
    return state


def _recent(tx: Tx, new: NewFire) -> tuple[int, bool]:
    """Return how often a condition fired within the minute, and whether it was told that it is too often."""
    if new.kind != "condition":
        return 0, False
    row = tx.one(sql.RECENT_FIRES, (new.rule, tx.now() - _MINUTE_US))
    return (int(row[0]), bool(row[1])) if row else (0, False)


def _write(tx: Tx, texts: Texts, backlog: Backlog, new: NewFire) -> tuple[list[Submission], Fire]:
    stored = _put(tx, as_fire(new, moment(tx.now())))
    failpoint("fire.before_runs")
    submissions = [submit(tx, texts, backlog, one) for one in new.runs]
    rows = [
        (stored.number, new.rule, one.action, "pending", 0, tx.now(), None, one.parameters,
         one.occasion)
        for one in new.deliveries
    ]  # fmt: skip
    if rows:
        tx.many(sql.INSERT_DELIVERY, rows)
    return submissions, stored


def _put(tx: Tx, one: Fire) -> Fire:
    if one.number:
        row = fire_row(one)
        tx.run(sql.END_FIRE, (row[6], row[7], row[8], row[12], one.number))
        return one
    return one.model_copy(update={"number": tx.add(sql.INSERT_FIRE, fire_row(one))})


def _count(tx: Tx, new: NewFire, state: RuleState) -> RuleState:
    after = counted(state, new, moment(tx.now()))
    return state if after == state else rules.put(tx, after)


def end_waiting(tx: Tx, number: int, reason: str) -> bool:
    """Give a waiting fire up; see `TriggerStore.end_waiting`."""
    row = tx.one(sql.GET_FIRE, (number,))
    if row is None:
        return False
    one = fire_from_row(row)
    if one.state is not FireState.WAITING:
        return False
    ended = one.model_copy(update={"state": FireState.SKIPPED, "reason": reason})
    _put(tx, ended)
    write_own(tx, [fire_event(ended, 0)])
    return True


def waiting_fires(tx: Tx) -> list[Fire]:
    """Return the fires whose turn has come."""
    return [fire_from_row(row) for row in tx.all(sql.WAITING_FIRES)]


def list_fires(
    tx: Tx, rule: str | None, states: Sequence[str], cursor: str | None, limit: int
) -> Page[Fire]:
    """Return fires, newest first; see `TriggerStore.list_fires`."""
    size = page_size(limit)
    question = Question(", ".join(f"fire.{name}" for name in COLUMNS["fire"]), "fire")
    if rule is not None:
        question.where("rule = ?", rule)
    question.either("state = ?", list(states))
    if cursor is not None:
        question.where("id < ?", *read_cursor("fire", cursor, int))
    rows = question.ask(tx, "id DESC", size + 1)
    following = write_cursor("fire", rows[size - 1][0]) if len(rows) > size else None
    return Page([fire_from_row(row) for row in rows[:size]], following)
