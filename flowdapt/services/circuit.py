"""Decide whether tasks may be given to an executor now: after failures in a row one of them tries first.

An executor that is away altogether (not open yet, lost) lets nobody through until `mend`: reopening
it is the trial, and belongs to `seat.py`. One that runs and refuses tasks is tried by a task.
"""

from __future__ import annotations

import trio

__all__ = ["BACKOFF_MAX_S", "TRIES", "Circuit", "backoff_s"]

# So many refusals in a row open the circuit.
TRIES = 3
BACKOFF_MAX_S = 30.0


def backoff_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row: 1, 2, 4 … 30 s."""
    return min(BACKOFF_MAX_S, 2.0 ** min(max(failures - 1, 0), 5))


class Circuit:
    """Closed (`words` None), open, or half-open: one task, the scout, finds out for all the others."""

    def __init__(self) -> None:
        self.words: str | None = None
        self._away = False
        self._failures = 0
        self._scouting = False
        self._retry_at = 0.0
        self._stalled = trio.lowlevel.ParkingLot()
        self._mended = trio.Event()

    @property
    def admits(self) -> bool:
        """Say whether a task that waits for a slot may have one: always, or to be the scout."""
        if self.words is None:
            return True
        return not (self._away or self._scouting or self._stalled)

    @property
    def next_try_s(self) -> float | None:
        """Return in how many seconds a task tries again; None when it is not up to tasks."""
        if self.words is None or self._away:
            return None
        return max(0.0, self._retry_at - trio.current_time())

    def cut(self, words: str) -> None:
        """Let nobody through until `mend`: the executor is not there."""
        self.words = words
        self._away = True

    def mend(self) -> None:
        """Let everybody through."""
        self.words, self._away, self._failures = None, False, 0
        self._mended.set()
        self._mended = trio.Event()
        self._stalled.unpark_all()

    def failed(self, words: str) -> bool:
        """Note that the executor refused a task; return whether this has opened the circuit."""
        now = trio.current_time()
        # Who was given to it before the circuit opened says nothing new.
        if self._away or (self.words is not None and now < self._retry_at):
            return False
        self._failures += 1
        if self._failures < TRIES:
            return False
        opens = self.words is None
        self.words = words
        self._retry_at = now + backoff_s(self._failures - TRIES + 1)
        return opens

    def succeeded(self) -> bool:
        """Note that the executor has taken a task; return whether this has closed the circuit."""
        self._failures = 0
        if self.words is None or self._away:
            return False
        self.mend()
        return True

    async def passage(self) -> bool:
        """Wait until the executor may be given a task; return whether the caller is the scout.

        A scout calls `step_down` when it knows, whatever it knows.
        """
        while self.words is not None:
            if self._away or self._scouting:
                await self._stalled.park()
                continue
            self._scouting = True
            try:
                if await self._wait_for_turn():
                    return True
            except BaseException:
                self.step_down()
                raise
            self.step_down()
        return False

    async def _wait_for_turn(self) -> bool:
        """Return True when it is time to try, False when it was decided otherwise."""
        with trio.move_on_at(self._retry_at):
            await self._mended.wait()
        return self.words is not None and not self._away

    def step_down(self) -> None:
        """Let another be the scout."""
        self._scouting = False
        if self.words is not None and not self._away:
            self._stalled.unpark()
