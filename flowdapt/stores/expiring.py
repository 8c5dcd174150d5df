"""Decide what is forgotten: terminal runs, whole, and what nobody refers to any more."""

from __future__ import annotations

from flowdapt.domain import facts
from flowdapt.domain.run import RunState
from flowdapt.stores import prepared as sql
from flowdapt.stores.journal import write_own
from flowdapt.stores.links import Tx
from flowdapt.stores.records import run_from_row
from flowdapt.stores.refusals import no_run, not_terminal
from flowdapt.stores.texts import Texts

__all__ = ["delete_expired", "delete_run"]

_UNUSED_US = 24 * 3600 * 1_000_000


def delete_run(tx: Tx, uid: str) -> None:
    """Delete a terminal run with all that belongs to it."""
    row = tx.one(sql.GET_RUN, (uid,))
    if row is None:
        raise no_run(uid)
    if not RunState(row[sql.STATE]).terminal:
        raise not_terminal(uid, row[sql.STATE])
    tx.run(sql.DELETE_RUN, (row[0],))
    run = run_from_row(row)
    write_own(tx, [facts.run_deleted(uid, run.workflow, "user")])


def delete_expired(tx: Tx, texts: Texts, before: int, keep: int, limit: int) -> list[str]:
    """Delete a batch of old runs; see `Store.delete_expired`."""
    edges: dict[str, int] = {}
    doomed: list[tuple[int, str, str]] = []
    for run_id, uid, workflow in tx.stream(sql.EXPIRED, (before,)):
        if workflow not in edges:
            edges[workflow] = _oldest_kept(tx, workflow, keep)
        if run_id < edges[workflow]:
            doomed.append((run_id, uid, workflow))
        if len(doomed) >= limit:
            break
    for run_id, _, _ in doomed:
        tx.run(sql.DELETE_RUN, (run_id,))
    tx.run(sql.DELETE_OLD_EVENTS, (before, limit * 10))
    tx.run(sql.DELETE_OLD_FIRES, (before, limit * 10))
    write_own(tx, [facts.run_deleted(uid, workflow, "retention") for _, uid, workflow in doomed])
    if doomed and len(doomed) < limit:
        _sweep_documents(tx, texts)
    return [uid for _, uid, _ in doomed]


def _oldest_kept(tx: Tx, workflow: str, keep: int) -> int:
    """Return the lowest number that stays: everything when there are not more."""
    if keep <= 0:
        return 2**62
    row = tx.one(sql.NEWEST, (workflow, keep - 1))
    return int(row[0]) if row else 0


def _sweep_documents(tx: Tx, texts: Texts) -> None:
    if tx.run(sql.SWEEP_DOCUMENTS, (tx.now() - _UNUSED_US,)) > 0:
        tx.after.append(texts.forget)
