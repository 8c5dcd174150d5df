"""Tell in the journal of the daemon itself: that it serves, drains and ends.

A daemon that was killed tells no end: the next start follows on the last one.
"""

from __future__ import annotations

import json
import os
from typing import Any

import trio

from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.events import (
    DAEMON_STARTED,
    DAEMON_STOPPED,
    DRAIN_BEGAN,
    DRAIN_ENDED,
    EventDraft,
)
from flowdapt.logs import get_log
from flowdapt.ports.broker import EVENT_ADDED, Broker, Message
from flowdapt.ports.store import Store
from flowdapt.services.health import Health

__all__ = ["Chronicle"]

# The end of a daemon is not held up by a database that does not answer.
LAST_WORDS_S = 2.0

log = get_log("flowdapt.chronicle")


class Chronicle:
    """The life of one daemon, as events."""

    def __init__(self, *, store: Store, broker: Broker, health: Health, owner: str) -> None:
        self._store = store
        self._broker = broker
        self._health = health
        self._owner = owner

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell the start, drains, and when cancelled the end."""
        task_status.started()
        try:
            await self._tell(DAEMON_STARTED, "daemon", self._daemon())
            await self._watch()
        finally:
            with trio.move_on_after(LAST_WORDS_S, shield=True):
                await self._tell(DAEMON_STOPPED, "daemon", self._daemon())

    async def _watch(self) -> None:
        told = False
        while True:
            draining = self._health.draining
            if draining == told:
                await self._health.draining_changed()
                continue
            await self._tell(DRAIN_BEGAN if draining else DRAIN_ENDED, "daemon", self._daemon())
            told = draining

    def _daemon(self) -> dict[str, Any]:
        return {"owner": self._owner, "pid": os.getpid(), "version": self._health.about.version}

    async def _tell(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        try:
            await self._store.add_event(EventDraft(kind, subject, json.dumps(data)))
        except FlowdaptError as error:
            log.warning("the event could not be stored", type=kind, reason=error.message)
        else:
            self._broker.publish(Message(EVENT_ADDED, kind))
