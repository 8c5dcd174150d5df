"""Fire trigger rules when their instant or their event comes; once each, however often it is looked.

The store decides races and remembers; nothing here has to survive a crash. One rule that fails hurts no
other. Instants are `time_watch`, events `event_watch`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from flowdapt.ports.broker import EVENT_ADDED, RUN_ENDED, RUN_PROGRESS, Broker
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Store
from flowdapt.services.event_watch import EventWatch
from flowdapt.services.firing import Firing
from flowdapt.services.rulebook import TELLS_OF_RULES
from flowdapt.services.time_watch import TimeWatch
from flowdapt.services.watching import Watch

__all__ = ["Triggers"]

_HINTS = 1_000


class Triggers:
    """The trigger service of one daemon; several may watch the same store."""

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        clock: Clock,
        firing: Firing,
        report: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._broker = broker
        self._watch = Watch(store=store, clock=clock, firing=firing, report=report)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; ready when the rules are known."""
        watch = self._watch
        topics = (EVENT_ADDED, RUN_ENDED, RUN_PROGRESS)
        async with (
            self._broker.subscribe(EVENT_ADDED, capacity=_HINTS) as changes,
            self._broker.subscribe(*topics, capacity=1) as facts,
            trio.open_nursery() as nursery,
        ):
            await watch.tolerate("rules", watch.refresh)
            nursery.start_soon(TimeWatch(watch).run)
            nursery.start_soon(EventWatch(watch).run, facts)
            task_status.started()
            async for message in changes:
                if message.key in TELLS_OF_RULES:
                    await watch.tolerate("rules", watch.refresh)

    def drain(self) -> None:
        """Fire nothing more."""
        self._watch.draining = True

    def resume(self) -> None:
        """Take a drain back."""
        self._watch.draining = False
        self._watch.wake()

    @property
    def broken(self) -> dict[str, str]:
        """Return the rules that mean nothing, with the reasons."""
        return dict(self._watch.book.broken)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rules there are, and how many of them are paused or mean nothing."""
        book = self._watch.book
        return {"rules": book.known, "paused": book.paused, "broken": len(book.broken)}
