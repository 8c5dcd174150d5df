"""The check finds every violation that is planted, and names who breaks it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from flowdapt.domain.fire import NewDelivery, NewFire
from flowdapt.domain.records import RunChange
from flowdapt.domain.resource import Metadata, Resource
from flowdapt.domain.run import StageState
from flowdapt.ports.store import ResourceWrite, Store
from flowdapt.services.clock import SystemClock
from flowdapt.stores.checking import RULES, check
from flowdapt.stores.memory import MemoryStore
from flowdapt.stores.postgres import _PostgresTx
from flowdapt.stores.postgres_base import PostgresBase
from flowdapt.stores.sql import SqlStore
from flowdapt.testing.store_records import finish, new_run, progress, write_of

if TYPE_CHECKING:
    from tests.stores.conftest import Opening

pytestmark = pytest.mark.trio
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

# sentence of the rule -> what breaks it. `open`, `done` and `queued` are the runs of the test.
PLANTS: dict[str, str] = {
    "(an executor) is the active one and has no profile": (
        "INSERT INTO active_executor VALUES (1, 'lab', 'local', 1)"
    ),
    "has a state that does not exist": "UPDATE run SET state = 'odd' WHERE uid = 'done'",
    "has a stage in a state that does not exist": "UPDATE stage SET state = 'odd' WHERE run_id = 1",
    "has an owner but is not running": "UPDATE run SET owner = 'me' WHERE uid = 'queued'",
    "is running in epoch 0: nobody ever claimed it": (
        "UPDATE run SET epoch = 0 WHERE uid = 'open'"
    ),
    "is terminal without finished_at": "UPDATE run SET finished_at = NULL WHERE uid = 'done'",
    "is open with finished_at": "UPDATE run SET finished_at = created_at + 9 WHERE uid = 'open'",
    "ended before it started or started before it was created": (
        "UPDATE run SET finished_at = started_at - 1 WHERE uid = 'done'"
    ),
    "is running without started_at": "UPDATE run SET started_at = NULL WHERE uid = 'open'",
    "is terminal with an open stage": (
        "UPDATE stage SET state = 'running', finished_at = NULL WHERE run_id = 1 AND name = 'b'"
    ),
    "is finished with a stage that is not": "UPDATE stage SET state = 'failed' WHERE run_id = 1",
    "is partial without a failed item": "UPDATE run SET partial = true WHERE uid = 'done'",
    "has failed items but is not called partial": (
        "UPDATE stage SET items_failed = 2 WHERE run_id = 1 AND name = 'a'"
    ),
    "has a stage whose finished_at does not fit its state": (
        "UPDATE stage SET finished_at = NULL WHERE run_id = 1 AND name = 'a'"
    ),
    "has a stage that ended before it started": (
        "UPDATE stage SET finished_at = started_at - 1 WHERE run_id = 1 AND name = 'a'"
    ),
    "waits for a retry that has no instant": (
        "UPDATE stage SET state = 'retrying' WHERE run_id = 2 AND name = 'b'"
    ),
    "has more finished attempts of a simple stage than results that were lost afterwards": (
        "INSERT INTO task SELECT run_id, stage, start, 2, stop, epoch, state, started_at, "
        "finished_at, reason, worker_pid, error, value FROM task WHERE run_id = 1 AND stage = 'a'"
    ),
    "has a finished simple stage without a finished attempt": (
        "DELETE FROM task WHERE run_id = 1 AND stage = 'b'"
    ),
    "has an attempt of an epoch that has not begun": "UPDATE task SET epoch = 5 WHERE run_id = 1",
    "has a journal with gaps": "DELETE FROM event WHERE run_id = 1 AND seq = 1",
    "has not exactly one terminal event": "UPDATE event SET type = 'x' WHERE run_id = 1",
    "has a terminal event but is open": (
        "UPDATE event SET type = 'com.event.workflow.workflow_finished' WHERE run_id = 3"
    ),
    "has lost its definition or config": "UPDATE run SET config = 'gone' WHERE uid = 'done'",
    "(a resource) has lost its document": "UPDATE resource_revision SET digest = 'gone'",
    "(a resource) is not at its newest revision": "UPDATE resource SET revision = 7",
    "was started by a trigger rule that it does not name": (
        "UPDATE run SET source = 'trigger' WHERE uid = 'done'"
    ),
    "(a fire) has runs and is not called started": "UPDATE fire SET state = 'skipped'",
    "(a fire) waits for an open run of its rule, and there is none": (
        "UPDATE fire SET state = 'waiting', runs = '[]', rule = 'gone'"
    ),
    "(a trigger rule) would look again at an instant that it has decided": (
        "UPDATE rule_state SET last_evaluated_at = last_evaluated_at - 1"
    ),
    "(a trigger rule) is paused without a reason": "UPDATE rule_state SET paused_at = 1",
    "(an action) is to be done for a fire that started nothing": (
        "UPDATE fire SET state = 'failed', runs = '[]'"
    ),
}
CROWDED = "has several open fires, which overlap: forbid rules out"
OTHER_PLANTS = {
    "is ahead of its dependency a": (
        "UPDATE stage SET state = 'pending', finished_at = NULL WHERE run_id = 2 AND name = 'a'"
    ),
    CROWDED: (
        """UPDATE document SET body = replace(body, '"allow"', '"forbid"') WHERE body LIKE '%allow%'"""
    ),
    "has lost its run": "UPDATE stage SET run_id = 99 WHERE run_id = 3",
}


async def fill(store: Store) -> None:
    """Write a finished run (1), one in its second stage (2), a queued one (3), resources and two fires."""
    await store.apply([write_of("w", {"n": 1})])
    done = await store.submit(new_run(owner="me", uid="done"))
    await finish(store, done.run, done.stages)
    half = await store.submit(new_run(owner="me", uid="open"))
    await store.commit(progress(half.run, half.stages[0]))
    second = replace(half.stages[1], state=StageState.RUNNING, attempt=1)
    await store.commit(RunChange("open", 1, stages=[second]))
    await store.submit(new_run(uid="queued"))
    await fire(store)
    assert await store.check() == []


async def fire(store: Store) -> None:
    """Write a rule that has fired twice, each time starting a run and an action."""
    spec = {"type": "schedule", "rule": ["* * * * *"], "overlap": "allow", "action": {}}
    rule = Resource(kind="trigger_rule", metadata=Metadata(name="r"), spec=spec)
    await store.apply([ResourceWrite(rule)])
    state = await store.begin_generation("r", signature="s", not_before=EPOCH)
    for minute in (1, 2):
        slot = EPOCH + timedelta(minutes=minute)
        new = NewFire("r", 1, state.generation, "schedule", scheduled_at=slot, evaluated_to=slot)
        new.runs = [new_run(uid=f"fired{minute}", source="trigger", trigger_rule="r")]
        new.deliveries = [NewDelivery("log", "{}", "{}")]
        await store.fire(new)


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    async with opening() as store:
        await fill(store)
        yield store


async def test_every_rule_has_a_violation_to_find() -> None:
    assert set(PLANTS) == set(RULES)


@pytest.mark.parametrize("sentence", [*PLANTS, *OTHER_PLANTS])
async def test_a_planted_violation_is_found(store: Store, database: Path, sentence: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        changed = connection.execute((PLANTS | OTHER_PLANTS)[sentence]).rowcount
        connection.commit()
    assert changed > 0
    found = await store.check()
    assert [line for line in found if line.endswith(sentence)], found


async def test_every_planted_violation_is_found_on_postgresql(postgres_url: str) -> None:
    store = SqlStore(PostgresBase(postgres_url))
    await store.open()
    await fill(store)
    await store.close()
    with psycopg.connect(postgres_url) as connection:
        for table, name in connection.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' "
            "AND connamespace = 'public'::regnamespace"
        ).fetchall():
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
        connection.commit()
        for sentence, plant in (PLANTS | {CROWDED: OTHER_PLANTS[CROWDED]}).items():
            assert connection.execute(plant.encode()).rowcount > 0
            found = check(_PostgresTx(connection, 0, lambda: None))
            assert [line for line in found if line.endswith(sentence)], (sentence, found)
            connection.rollback()


async def test_a_memory_store_is_checked_as_well() -> None:
    store = MemoryStore(SystemClock())
    done = await store.submit(new_run(owner="me", uid="done"))
    await finish(store, done.run, done.stages)
    await store.submit(new_run(owner="me", uid="open"))
    assert await store.check() == []
    held = store._runs["done"]
    held.run.owner, held.run.next_seq = "me", 9
    held.stages[0].state = StageState.RUNNING
    store._runs["open"].run.finished_at = done.run.created_at - timedelta(days=1)
    found = {line.split(" ", 1)[1] for line in await store.check()}
    assert found == {
        "has an owner but is not running",
        "has a journal with gaps",
        "is terminal with an open stage",
        "is finished with a stage that is not",
        "has a finished_at that does not fit its state",
        "ended before it started or started before it was created",
    }
