"""Carry wake-ups between the services of one process; a full subscriber loses its oldest."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from flowdapt.ports.broker import Broker

if TYPE_CHECKING:
    from flowdapt.ports.broker import Message

__all__ = ["InProcessBroker"]


class InProcessBroker(Broker):
    """The built-in broker of a single daemon: no server, no copy, no delay."""

    def __init__(self) -> None:
        self._all: dict[str, list[_Mailbox]] = {}
        self._by_key: dict[tuple[str, str], list[_Mailbox]] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()

    def publish(self, message: Message) -> None:
        for mailbox in self._all.get(message.topic, ()):
            mailbox.put(message)
        # Thousands may wait for one run each: only those of this key are looked at.
        for mailbox in self._by_key.get((message.topic, message.key), ()):
            mailbox.put(message)

    @asynccontextmanager
    async def subscribe(
        self, *topics: str, key: str | None = None, capacity: int = 10_000
    ) -> AsyncIterator[AsyncIterator[Message]]:
        mailbox = _Mailbox(capacity)
        for topic in set(topics):
            self._mailboxes(topic, key).append(mailbox)
        try:
            yield mailbox
        finally:
            for topic in set(topics):
                self._forget(topic, key, mailbox)

    def _mailboxes(self, topic: str, key: str | None) -> list[_Mailbox]:
        if key is None:
            return self._all.setdefault(topic, [])
        return self._by_key.setdefault((topic, key), [])

    def _forget(self, topic: str, key: str | None, mailbox: _Mailbox) -> None:
        mailboxes = self._mailboxes(topic, key)
        mailboxes.remove(mailbox)
        if mailboxes:
            return
        if key is None:
            del self._all[topic]
        else:
            del self._by_key[topic, key]


class _Mailbox(AsyncIterator["Message"]):
    """At most `capacity` messages for one subscriber; the oldest goes first when it is full."""

    def __init__(self, capacity: int) -> None:
        self._messages: deque[Message] = deque(maxlen=max(capacity, 1))
        self._arrived = trio.Event()

    def put(self, message: Message) -> None:
        self._messages.append(message)
        self._arrived.set()

    async def __anext__(self) -> Message:
        # Also when mail lies here already: a busy publisher must not starve the other tasks.
        await trio.lowlevel.checkpoint()
        while not self._messages:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._messages.popleft()
