"""Decide how long a tab's program lives: with its tab, and a moment longer where only the line broke.

A session is one program on one terminal; what travels between it and a tab is `conversation.py`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence

from flowdapt.tui.web.terminal import Size, Terminal, terminal_environment

__all__ = ["ABSENCE_S", "MOST_SESSIONS", "Full", "Session", "Sessions"]

MOST_SESSIONS = 8
# A laptop that slept or a tunnel that broke comes back within this time, or not at all.
ABSENCE_S = 60.0
_REDRAW_S = 0.05


class Full(Exception):
    """As many tabs are open as may be."""


class Session:
    """One program, shown in one tab at a time."""

    def __init__(self, terminal: Terminal, size: Size) -> None:
        self.key = secrets.token_urlsafe(16)
        self.terminal = terminal
        self.ended = False
        self.reader: asyncio.Task[None] | None = None
        self._size = size
        self._absence: asyncio.Task[None] | None = None
        self._redrawing: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[int] | None = None

    @property
    def absent(self) -> bool:
        return self._absence is not None

    def resize(self, size: Size) -> None:
        self._size = size
        if not self.ended:
            self.terminal.resize(size)

    def redraw(self, size: Size) -> None:
        """Let the program paint everything anew: what was under way to a lost tab is lost."""
        self.resize(Size(size.columns, size.rows - 1))
        loop = asyncio.get_running_loop()
        self._redrawing = loop.call_later(_REDRAW_S, self._restore, size)

    def leave(self, absence: asyncio.Task[None]) -> None:
        self._absence = absence

    def come_back(self) -> None:
        if self._absence is not None:
            self._absence.cancel()
        self.forget_absence()

    def forget_absence(self) -> None:
        self._absence = None

    def _restore(self, size: Size) -> None:
        # A resize of the tab in between is newer than what it came with.
        if self._size == Size(size.columns, size.rows - 1):
            self.resize(size)

    async def end(self) -> int:
        """End the program, whoever else does so at the same time; return its exit code."""
        self.ended = True
        if self._redrawing is not None:
            self._redrawing.cancel()
        if self._ending is None:
            self._ending = asyncio.create_task(self.terminal.end())
        return await asyncio.shield(self._ending)


class Sessions:
    """All programs of one server, and no more than so many."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        most: int = MOST_SESSIONS,
        absence_s: float = ABSENCE_S,
    ) -> None:
        self._command = tuple(command)
        self._environ = terminal_environment(environ)
        self._most = most
        self._absence_s = absence_s
        self._open: dict[str, Session] = {}
        self._starting = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    async def start(self, size: Size) -> Session:
        """Start a program for a new tab; raise Full, or OSError where none can be started."""
        await self._make_room()
        self._starting += 1
        try:
            terminal = await Terminal.start(self._command, size, self._environ)
        finally:
            self._starting -= 1
        session = Session(terminal, size)
        self._open[session.key] = session
        return session

    def find(self, key: str) -> Session | None:
        """Return the program of a tab that lost its line, for that tab alone."""
        session = self._open.get(key)
        if session is None or session.ended:
            return None
        session.come_back()
        if session.reader is not None:
            # The old line has not been noticed to be broken yet.
            session.reader.cancel()
        return session

    def leave(self, session: Session) -> None:
        """Keep the program of a tab that has lost its line, for a while."""
        if session.ended or self._closed or session.key not in self._open:
            return
        session.leave(asyncio.create_task(self._await_return(session)))

    async def end(self, session: Session) -> int:
        """End a program and forget it; return its exit code."""
        self._open.pop(session.key, None)
        session.come_back()
        return await session.end()

    async def end_all(self) -> None:
        """End all programs; none is kept for a tab from now on."""
        self._closed = True
        async with asyncio.TaskGroup() as ending:
            for session in list(self._open.values()):
                ending.create_task(self.end(session))

    async def _make_room(self) -> None:
        if self._closed:
            raise Full
        if len(self._open) + self._starting < self._most:
            return
        absent = next((one for one in self._open.values() if one.absent), None)
        if absent is None:
            raise Full
        await self.end(absent)

    async def _await_return(self, session: Session) -> None:
        """Read what nobody sees, so that the program goes on; end it when nobody comes."""
        try:
            async with asyncio.timeout(self._absence_s):
                while await session.terminal.read():
                    pass
        except TimeoutError:
            pass
        # Not to be cancelled by the end that it brings about.
        session.forget_absence()
        await self.end(session)
