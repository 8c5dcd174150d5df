"""The lanes: groups that share a commit, writes that may be taken back, readers that do not block."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from flowdapt.domain.errors import Conflict, NotFound, Unavailable
from flowdapt.stores import journal
from flowdapt.stores.lanes import WriterLane
from flowdapt.stores.links import Tx
from flowdapt.stores.reader_lane import ReaderLane
from flowdapt.stores.sqlite import SqliteLink

if TYPE_CHECKING:
    from tests.stores.conftest import Opening

pytestmark = pytest.mark.trio


class CountingLink(SqliteLink):
    """Counts commits, and can hold the lane before it begins."""

    commits = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path, lambda: 7, reserve=path.with_name("reserve"))
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.waits = threading.Event()

    def begin(self, *, durable: bool) -> Tx:
        self.waits.set()
        assert self.may_begin.wait(10)
        return super().begin(durable=durable)

    def commit(self) -> None:
        self.commits += 1
        super().commit()

    async def held(self) -> None:
        """Return once the lane is about to begin a group and cannot."""
        await trio.to_thread.run_sync(self.waits.wait, 10)


@pytest.fixture
async def link(opening: Opening, database: Path) -> CountingLink:
    async with opening():
        pass
    return CountingLink(database)


@pytest.fixture
async def lane(link: CountingLink) -> AsyncIterator[WriterLane]:
    async with running(link) as lane:
        yield lane


@asynccontextmanager
async def running(link: CountingLink) -> AsyncIterator[WriterLane]:
    lane = WriterLane()
    lane.start(link)
    try:
        yield lane
    finally:
        link.may_begin.set()
        await lane.stop()


def beating(owner: str) -> Callable[[Tx], str]:
    def work(tx: Tx) -> str:
        journal.beat(tx, owner, {})
        return owner

    return work


def owners(database: Path) -> list[str]:
    link = SqliteLink(database, lambda: 0)
    try:
        return [str(row[0]) for row in link.begin_read().select("SELECT owner FROM service")]
    finally:
        link.close()


async def write_all(lane: WriterLane, works: list[Callable[[Tx], object]]) -> list[object]:
    """Begin all writes in order; return their answers, errors included."""
    answers: list[object] = [None] * len(works)

    async def write(at: int) -> None:
        try:
            answers[at] = await lane.write(works[at], durable=True)
        except Exception as error:
            answers[at] = error

    async with trio.open_nursery() as nursery:
        for at in range(len(works)):
            nursery.start_soon(write, at)
    return answers


async def test_what_waits_when_a_commit_begins_shares_it(
    lane: WriterLane, link: CountingLink, database: Path
) -> None:
    link.may_begin.clear()
    async with trio.open_nursery() as nursery:
        for at in range(30):
            nursery.start_soon(lambda at=at: lane.write(beating(f"o{at:02}"), durable=True))
        await link.held()
        link.may_begin.set()
    assert link.commits <= 2
    assert sorted(owners(database)) == [f"o{at:02}" for at in range(30)]


async def test_a_refusal_after_writing_is_taken_back_and_hurts_nobody(
    lane: WriterLane, database: Path
) -> None:
    def refuse(tx: Tx) -> None:
        journal.beat(tx, "ghost", {})
        raise Conflict("no")

    answers = await write_all(lane, [beating("a"), refuse, beating("b")])
    assert (answers[0], answers[2]) == ("a", "b")
    assert isinstance(answers[1], Conflict)
    assert sorted(owners(database)) == ["a", "b"]


async def test_a_broken_member_is_told_alone(lane: WriterLane, database: Path) -> None:
    def broken(tx: Tx) -> None:
        journal.beat(tx, "ghost", {})
        raise ZeroDivisionError

    def against_a_check(tx: Tx) -> None:
        tx.execute("INSERT INTO event VALUES (1, 'i', 1, 't', 's', 's', NULL, 5, NULL, 0, '1')")

    answers = await write_all(lane, [beating("a"), broken, against_a_check, beating("b")])
    assert [type(answer) for answer in answers] == [str, ZeroDivisionError, Conflict, str]
    assert sorted(owners(database)) == ["a", "b"]


async def test_a_write_that_is_cancelled_while_it_waits_changes_nothing(
    lane: WriterLane, link: CountingLink, database: Path
) -> None:
    link.may_begin.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: lane.write(beating("first"), durable=True))
        await link.held()
        with trio.move_on_after(0.01) as scope:
            await lane.write(beating("taken back"), durable=True)
        assert scope.cancelled_caught
        link.may_begin.set()
    await lane.write(beating("last"), durable=True)
    assert sorted(owners(database)) == ["first", "last"]


async def test_a_write_whose_commit_has_begun_completes(
    lane: WriterLane, link: CountingLink, database: Path
) -> None:
    link.may_begin.clear()
    async with trio.open_nursery() as nursery:

        async def impatient() -> None:
            with trio.move_on_after(0.01):
                await lane.write(beating("begun"), durable=True)

        nursery.start_soon(impatient)
        await link.held()
        await trio.sleep(0.02)
        link.may_begin.set()
    assert owners(database) == ["begun"]


async def test_durable_and_progress_differ_by_what_they_flush(link: CountingLink) -> None:
    async with running(link):
        pass
    other = CountingLink(link._path)
    for durable, level in ((True, 2), (False, 1), (False, 1), (True, 2)):
        tx = other.begin(durable=durable)
        assert tx.select("PRAGMA synchronous") == [(level,)]
        other.commit()
    quick = other.begin_quickly()
    assert quick is not None
    assert quick.select("PRAGMA synchronous") == [(1,)]
    assert quick.select("PRAGMA foreign_keys") == [(1,)]
    other.commit()
    other.close()


async def test_no_progress_overtakes_a_write_that_waits(
    lane: WriterLane, link: CountingLink
) -> None:
    order: list[str] = []

    def note(what: str) -> Callable[[Tx], None]:
        return lambda tx: order.append(what)

    link.may_begin.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: lane.write(note("first"), durable=True))
        await link.held()
        nursery.start_soon(lambda: lane.write(note("second"), durable=False))
        await trio.testing.wait_all_tasks_blocked()
        assert order == []
        link.may_begin.set()
    assert order == ["first", "second"]


async def test_what_was_accepted_before_a_stop_is_written(
    link: CountingLink, database: Path
) -> None:
    async with running(link) as lane, trio.open_nursery() as nursery:
        for at in range(20):
            nursery.start_soon(lambda at=at: lane.write(beating(f"o{at}"), durable=True))
        await trio.testing.wait_all_tasks_blocked()
    assert len(owners(database)) == 20
    with pytest.raises(Unavailable):
        await lane.write(beating("late"), durable=True)


async def test_a_read_that_is_cancelled_is_left_behind(opening: Opening, database: Path) -> None:
    async with opening():
        lane = ReaderLane(lambda: SqliteLink(database, lambda: 0), threads=1)
        lane.start()
        release, begun = threading.Event(), threading.Event()

        def slow(tx: Tx) -> None:
            begun.set()
            release.wait(10)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lane.read, slow)
                await trio.to_thread.run_sync(begun.wait, 5)
                nursery.cancel_scope.cancel()
        release.set()
        assert await lane.read(lambda tx: tx.select("SELECT 1")) == [(1,)]
        await lane.stop()


async def test_a_read_sees_one_moment(opening: Opening, database: Path) -> None:
    async with opening() as store:
        lane = ReaderLane(lambda: SqliteLink(database, lambda: 0), threads=1)
        lane.start()
        first, second = threading.Event(), threading.Event()

        def twice(tx: Tx) -> tuple[int, int]:
            before = len(tx.select("SELECT owner FROM service"))
            first.set()
            second.wait(10)
            return before, len(tx.select("SELECT owner FROM service"))

        seen: list[tuple[int, int]] = []

        async def read() -> None:
            seen.append(await lane.read(twice))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.to_thread.run_sync(first.wait, 5)
            await store.beat("me", {})
            second.set()
        assert seen == [(0, 0)]
        await lane.stop()


async def test_a_reader_cannot_write(opening: Opening, database: Path) -> None:
    async with opening():
        lane = ReaderLane(lambda: SqliteLink(database, lambda: 0), threads=1)
        lane.start()
        with pytest.raises(Unavailable):
            await lane.read(lambda tx: tx.execute("DELETE FROM run"))
        with pytest.raises(NotFound):
            await lane.read(lambda tx: raise_not_found())
        await lane.stop()


def raise_not_found() -> None:
    raise NotFound("nothing")
