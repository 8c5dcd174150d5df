"""Decide what a wish to cancel writes: a queued run ends at once, a running one is told."""

from __future__ import annotations

from flowdapt.domain import facts
from flowdapt.domain.records import RunRecord
from flowdapt.domain.run import RunState
from flowdapt.stores import prepared as sql
from flowdapt.stores.journal import write_events
from flowdapt.stores.links import Tx
from flowdapt.stores.reading import load_row
from flowdapt.stores.records import micros, moment, run_from_row
from flowdapt.stores.refusals import no_run
from flowdapt.stores.texts import Texts

__all__ = ["cancel", "request_cancel"]


def request_cancel(tx: Tx, uid: str, reason: str) -> RunRecord:
    """Note the wish; see `Store.request_cancel`. The record comes without its texts."""
    row = tx.one(sql.GET_RUN, (uid,))
    if row is None:
        raise no_run(uid)
    run = run_from_row(row)
    if run.state.terminal or run.cancel_requested_at is not None:
        return run
    now = max(tx.now(), row[sql.CREATED_AT])
    run.cancel_requested_at, run.cancel_reason = moment(now), reason
    tx.run(sql.REQUEST_CANCEL, (now, reason, run.number))
    if run.state is RunState.QUEUED:
        _end_queued(tx, run, reason)
    return run


def _end_queued(tx: Tx, run: RunRecord, reason: str) -> None:
    run.state, run.reason, run.finished_at = RunState.CANCELLED, reason, run.cancel_requested_at
    tx.run(sql.CANCEL_STAGES, (micros(run.finished_at), run.number))
    write_events(tx, run.number, run.next_seq, [facts.run_finished(run)])
    run.next_seq += 1
    patch = (
        run.state.value,
        reason,
        False,
        run.next_seq,
        None,
        micros(run.finished_at),
        None,
        None,
    )
    tx.run(sql.END_RUN, (*patch, run.number))


def cancel(tx: Tx, texts: Texts, uid: str, reason: str) -> RunRecord:
    """Note the wish and return the whole record."""
    request_cancel(tx, uid, reason)
    row = tx.one(sql.GET_RUN, (uid,))
    assert row is not None
    return load_row(tx, texts, row)
