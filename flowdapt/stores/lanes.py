"""Decide how work reaches the database: one writing connection, a few reader threads.

A thread writes and groups commits; the loop borrows the connection for what needs no disk. What waits
when a commit begins shares it. Waiters are woken a batch at a time with one call into the loop. A
write that waits can be taken back; one that was taken completes. What the database's errors mean is
the link's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import outcome
import trio

from flowdapt.domain.errors import FlowdaptError, Unavailable
from flowdapt.failpoints import failpoint
from flowdapt.stores.links import Link, Tx

__all__ = ["ATTEMPTS", "Lane", "Request", "WriterLane", "deliver"]

T = TypeVar("T")

GROUP_MAX = 256
ATTEMPTS = 6
# Writes on the loop after which the thread is asked to look after the database.
TEND_EVERY = 200


class Request(Generic[T]):
    """One piece of work and who waits for it."""

    __slots__ = ("abandoned", "durable", "result", "task", "ticket", "work")

    def __init__(self, work: Callable[[Tx], T], *, durable: bool) -> None:
        self.work = work
        self.durable = durable
        self.task = trio.lowlevel.current_task()
        self.ticket = [True]
        self.abandoned = False
        self.result: outcome.Value[T] | outcome.Error | None = None

    def take(self) -> bool:
        """Take the one ticket: the thread does it to begin, a cancelled waiter to withdraw."""
        try:
            return self.ticket.pop()
        except IndexError:
            return False

    def answer(self, value: T) -> None:
        self.result = outcome.Value(value)

    def fail(self, error: Exception) -> None:
        self.result = outcome.Error(error)


def _wake(requests: Sequence[Request[Any]]) -> None:
    for request in requests:
        if not request.abandoned and request.result is not None:
            trio.lowlevel.reschedule(request.task, request.result)


class Lane:
    """A queue of requests and the loop that waits for their answers."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Request[Any] | None] = SimpleQueue()
        self._token: trio.lowlevel.TrioToken | None = None

    async def _ask(self, request: Request[T], *, may_abandon: bool) -> T:
        if self._token is None:
            raise Unavailable("the store is closed")
        self._queue.put(request)

        def abort(_: object) -> trio.lowlevel.Abort:
            if not request.take() and not may_abandon:
                return trio.lowlevel.Abort.FAILED
            request.abandoned = True
            return trio.lowlevel.Abort.SUCCEEDED

        answer: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return answer


class WriterLane(Lane):
    """The one connection that writes: a thread's, lent to the loop for what needs no disk."""

    def __init__(self) -> None:
        super().__init__()
        self._thread: threading.Thread | None = None
        self._link: Link | None = None
        self._in_use = threading.Lock()
        self._since_tended = 0
        # Writes handed to the thread that are not answered: none may be overtaken.
        self._waiting = 0

    def start(self, link: Link) -> None:
        """Begin to serve; call it in the loop whose tasks will wait."""
        self._token = trio.lowlevel.current_trio_token()
        self._link = link
        self._thread = threading.Thread(
            target=self._serve, args=(link,), name="flowdapt-writer", daemon=True
        )
        self._thread.start()

    async def write(self, work: Callable[[Tx], T], *, durable: bool) -> T:
        """Do the work in a transaction and return its answer once that is committed.

        The work may be done several times before it succeeds, so it must have no effect of its own
        but through `tx`. An error of the domain is raised to this caller alone.
        """
        if not durable and self._waiting == 0:
            await trio.lowlevel.checkpoint_if_cancelled()
            quick = self._write_here(work)
            if quick is not None:
                return quick.unwrap()
        self._waiting += 1
        try:
            return await self._ask(Request(work, durable=durable), may_abandon=False)
        finally:
            self._waiting -= 1

    def _write_here(self, work: Callable[[Tx], T]) -> outcome.Value[T] | outcome.Error | None:
        """Write on the loop's own thread when the connection is free: two hand-overs are saved.

        None: it cannot be done here and now, nothing was changed, and the thread is to do it.
        """
        link = self._link
        if link is None or self._token is None or not self._in_use.acquire(blocking=False):
            return None
        try:
            tx = link.begin_quickly()
            return None if tx is None else _alone(link, tx, work)
        finally:
            self._in_use.release()
            self._since_tended += 1
            if self._since_tended >= TEND_EVERY:
                self._since_tended = 0
                reminder = Request(_nothing, durable=False)
                reminder.abandoned = True
                self._queue.put(reminder)

    async def stop(self) -> None:
        """Finish what was accepted, then let go of the connection."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._token = None
            self._queue.put(None)
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(thread.join)

    def _serve(self, link: Link) -> None:
        token = self._token
        stopping = False
        while not stopping:
            batch, stopping = self._gather()
            if batch:
                with self._in_use:
                    _perform(link, batch)
                deliver(token, batch)
            with self._in_use:
                link.tend(idle=self._queue.empty())
        link.close()

    def _gather(self) -> tuple[list[Request[Any]], bool]:
        """Wait for one request, then take what else is there."""
        batch: list[Request[Any]] = []
        request = self._queue.get()
        while request is not None:
            if request.take():
                batch.append(request)
            if len(batch) >= GROUP_MAX:
                break
            try:
                request = self._queue.get_nowait()
            except Empty:
                break
        return batch, request is None


def deliver(token: trio.lowlevel.TrioToken | None, batch: Sequence[Request[Any]]) -> None:
    assert token is not None
    try:
        token.run_sync_soon(_wake, batch)
    except trio.RunFinishedError:
        return


def _perform(link: Link, batch: Sequence[Request[Any]]) -> None:
    """Give every request of the group its answer."""
    error: Exception = Unavailable("the store gave no answer")
    for attempt in range(ATTEMPTS):
        try:
            _together(link, batch)
            return
        except Exception as failure:
            verdict = link.judge(failure, attempt)
        if verdict.committed:
            return
        error = verdict.error
        if verdict.retry:
            continue
        if verdict.shared or len(batch) == 1:
            break
        # One member spoiled it: each has its own transaction now, and the innocent succeed.
        for request in batch:
            _perform(link, [request])
        return
    for request in batch:
        request.fail(error)


class _Spoiled(Exception):
    """A member refused after it had written."""


def _together(link: Link, batch: Sequence[Request[Any]]) -> None:
    tx = link.begin(durable=any(request.durable for request in batch))
    for request in batch:
        tx.dirty = False
        try:
            request.answer(request.work(tx))
        except FlowdaptError as refusal:
            if tx.dirty:
                raise refusal if len(batch) == 1 else _Spoiled from refusal
            request.fail(refusal)
    failpoint("commit.before_store")
    link.commit()
    failpoint("commit.after_store")
    for call in tx.after:
        call()


def _nothing(_: Tx) -> None:
    return None


def _alone(link: Link, tx: Tx, work: Callable[[Tx], T]) -> outcome.Value[T] | outcome.Error | None:
    """Do one piece of work in a transaction that has begun."""
    try:
        answer = work(tx)
        link.commit()
    except Exception as failure:
        error = link.judge(failure, ATTEMPTS).error
        # What only the thread can mend is left to the thread.
        return outcome.Error(error) if isinstance(failure, FlowdaptError) else None
    for call in tx.after:
        call()
    return outcome.Value(answer)
