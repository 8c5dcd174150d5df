"""Several trigger services on one PostgreSQL, killed at random: each slot fires once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest
import trio

from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.services.resources import Resources
from flowdapt.stores.postgres_base import PostgresBase
from flowdapt.stores.sql import SqlStore
from tests.faults.seeds import chosen_seed
from tests.faults.trigger_service import FastClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowdapt.ports.store import Store

WORKFLOW = {
    "kind": "workflow",
    "metadata": {"name": "w"},
    "spec": {"stages": [{"name": "only", "target": "builtins.dict"}]},
}
SERVICES = 4
# How long the living may take for what the dead left.
CATCH_UP_S = 60.0


def rule(number: int) -> dict[str, Any]:
    """Return a rule that fires each second; each fifth one starts runs, the others tell an event."""
    run = {"target": "run_workflow", "parameters": {"workflow": "w"}}
    tell = {"target": "publish_event", "parameters": {"type": "slot"}}
    return {
        "kind": "trigger_rule",
        "metadata": {"name": f"rule-{number}"},
        "spec": {
            "type": "interval",
            "rule": {"every": "1s"},
            "overlap": "allow",
            "catch_up": "all",
            "actions": [run if number % 5 == 0 else tell],
        },
    }


class Services:
    """Four processes, of which one after the other dies and comes back."""

    def __init__(self, url: str, begin: float, speed: float) -> None:
        self._command = [
            sys.executable, "-m", "tests.faults.trigger_service", url, str(speed), str(begin)
        ]  # fmt: skip
        self._running: list[subprocess.Popen[bytes]] = []
        self.kills = 0

    def __enter__(self) -> Self:
        self._running = [self._start() for _ in range(SERVICES)]
        for one in self._running:
            assert one.stdout is not None
            assert one.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._running:
            one.kill()
            one.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def kill(self, which: int) -> None:
        self._running[which].send_signal(signal.SIGKILL)
        self._running[which].communicate()
        self._running[which] = self._start()
        self.kills += 1


async def slots_under_kills(
    url: str, *, rules: int, seconds: int, speed: float, note: Callable[[str, object], None]
) -> None:
    chance = random.Random(chosen_seed())
    store = SqlStore(PostgresBase(url))
    await store.open()
    resources = Resources(store=store, broker=InProcessBroker(), sole_writer=False)
    await resources.apply([WORKFLOW, *(rule(number) for number in range(rules))])
    begin = time.time()
    clock = FastClock(begin, speed)
    until = clock.now() + timedelta(seconds=seconds)
    with Services(url, begin, speed) as services:
        while clock.now() < until:
            await trio.sleep(chance.uniform(0.5, 2.0))
            await trio.to_thread.run_sync(services.kill, chance.randrange(SERVICES))
        # What was due is fired by whoever lives.
        missing = 1
        patience = time.monotonic() + CATCH_UP_S
        while missing and time.monotonic() < patience:
            await trio.sleep(2)
            missing, _ = _compared(await _fired(store), rules, until)
    fired = await _fired(store)
    missing, double = _compared(fired, rules, until)
    runs = _runs_of(url)
    started = {name: len(slots) for name, slots in fired.items() if int(name[5:]) % 5 == 0}
    note(
        "P8 double, lost of slots fired, kills",
        f"{double + sum((runs - Counter(started)).values())}, {missing}"
        f" of {sum(map(len, fired.values()))}, {services.kills}",
    )
    assert missing == 0
    assert double == 0
    assert runs == Counter(started)
    assert await store.check() == []
    await store.close()


async def _fired(store: Store) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = {}
    cursor: str | None = None
    while True:
        page = await store.list_fires(cursor=cursor, limit=500)
        for fire in page.items:
            assert fire.state.value == "started", fire
            assert fire.scheduled_at is not None
            found.setdefault(fire.rule, []).append(fire.scheduled_at)
        cursor = page.next
        if cursor is None:
            return found


def _compared(fired: dict[str, list[datetime]], rules: int, until: datetime) -> tuple[int, int]:
    """Return how many slots are missing and how many were fired twice, of all rules."""
    missing = double = 0
    assert len(fired) == rules
    for slots in fired.values():
        slots.sort()
        expected = int((until - slots[0]).total_seconds()) + 1
        missing += expected - len({slot for slot in slots if slot <= until})
        double += len(slots) - len(set(slots))
    return missing, double


def _runs_of(url: str) -> Counter[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT trigger_rule, count(*) FROM run GROUP BY trigger_rule"
        ).fetchall()
    return Counter(dict(rows))


@pytest.mark.trio
async def test_four_services_fire_each_slot_once(
    postgres_url: str, record_property: Callable[[str, object], None]
) -> None:
    await slots_under_kills(postgres_url, rules=20, seconds=20, speed=2.0, note=record_property)


@pytest.mark.trio
@pytest.mark.faults
async def test_ten_thousand_slots_fire_once_under_kills(
    postgres_url: str, record_property: Callable[[str, object], None]
) -> None:
    await slots_under_kills(postgres_url, rules=50, seconds=200, speed=2.0, note=record_property)
