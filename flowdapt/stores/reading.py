"""Read runs with what belongs to them, and find them by what a person types."""

from __future__ import annotations

from flowdapt.domain.records import RunRecord, StageRecord
from flowdapt.ports.store import LoadedRun
from flowdapt.stores import prepared as sql
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.records import item_from_row, run_from_row, stage_from_row, task_from_row
from flowdapt.stores.refusals import PREFIX_MIN, ambiguous, no_run
from flowdapt.stores.texts import Texts

__all__ = [
    "find_run",
    "load",
    "load_row",
    "run_id_of",
    "stages_of",
]

_LAST = chr(0x10FFFF)


def load_row(tx: Tx, texts: Texts, row: Row) -> RunRecord:
    """Return the record of a row with its frozen texts."""
    return run_from_row(
        row, texts.get(tx, row[sql.DEFINITION]), texts.get(tx, row[sql.DEFINITION + 1])
    )


def stages_of(tx: Tx, run_id: int) -> list[StageRecord]:
    return [stage_from_row(row) for row in tx.all(sql.LIST_STAGES, (run_id,))]


def load(tx: Tx, texts: Texts, run_id: int) -> LoadedRun:
    """Return a run with everything its owner needs."""
    row = tx.one(sql.GET_RUN_BY_ID, (run_id,))
    if row is None:
        raise no_run(str(run_id))
    return LoadedRun(
        load_row(tx, texts, row),
        stages_of(tx, run_id),
        [task_from_row(task) for task in tx.all(sql.LIST_ALL_TASKS, (run_id,))],
        [item_from_row(item) for item in tx.all(sql.LIST_ALL_ITEMS, (run_id,))],
    )


def run_id_of(tx: Tx, uid: str) -> int:
    """Return the number of a run. Raise NotFound."""
    row = tx.one(sql.RUN_ID, (uid,))
    if row is None:
        raise no_run(uid)
    return int(row[0])


def find_run(tx: Tx, texts: Texts, ident: str) -> RunRecord:
    """Return by uid, name or unique prefix; see `Store.get_run`."""
    row = tx.one(sql.GET_RUN, (ident,))
    if row is not None:
        return load_row(tx, texts, row)
    rows = tx.all(sql.FIND_BY_NAME, (ident,))
    if not rows and len(ident) >= PREFIX_MIN:
        span = (ident, ident + _LAST)
        rows = tx.all(sql.FIND_BY_PREFIX, (*span, *span))
    if not rows:
        raise no_run(ident)
    if len(rows) > 1:
        raise ambiguous(ident, [f"{row[sql.NAME]} ({row[sql.UID]})" for row in rows])
    return load_row(tx, texts, rows[0])
