"""A process that is nothing but a trigger service on a PostgreSQL: `python -m … URL SPEED BEGIN`.

Its clock runs SPEED times as fast as the machine's, from BEGIN (seconds since 1970) on, so that a few
minutes see thousands of slots. It serves until it is killed.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import trio

from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.services.firing import Firing
from flowdapt.services.given import GivenExecutors
from flowdapt.services.planning import Planner
from flowdapt.services.resources import Resources
from flowdapt.services.submission import Submitter
from flowdapt.services.triggers import Triggers
from flowdapt.stores.postgres_base import PostgresBase
from flowdapt.stores.sql import SqlStore
from flowdapt.testing import FakeExecutor, MemoryValues


class FastClock:
    """The machine's clock since `begin`, at another pace."""

    def __init__(self, begin: float, speed: float) -> None:
        self._begin = begin
        self._speed = speed

    def now(self) -> datetime:
        passed = (time.time() - self._begin) * self._speed
        return datetime.fromtimestamp(self._begin + passed, UTC)

    def monotonic(self) -> float:
        return time.monotonic() * self._speed

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds / self._speed)


async def serve(url: str, clock: FastClock) -> None:
    """Watch the rules of the database until killed."""
    store = SqlStore(PostgresBase(url))
    await store.open()
    broker = InProcessBroker()
    resources = Resources(store=store, broker=broker, sole_writer=False)
    submitter = Submitter(
        store=store, broker=broker, values=MemoryValues(), clock=clock, engine=None,
        executors=GivenExecutors({"local": FakeExecutor()}), max_queued=1_000_000,
    )  # fmt: skip
    planner = Planner(submitter, resources)
    firing = Firing(store=store, broker=broker, planner=planner, submitter=submitter)
    async with trio.open_nursery() as nursery:
        await nursery.start(Triggers(store=store, broker=broker, clock=clock, firing=firing).run)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(serve, sys.argv[1], FastClock(float(sys.argv[3]), float(sys.argv[2])))
