"""Decide whether a request may be sent again, after which pause, and until when. No I/O."""

from __future__ import annotations

import os
from collections.abc import Iterator

from flowdapt.client.wire import ConnectionLost, Request
from flowdapt.domain.errors import Unreachable

__all__ = ["WAIT_STEP_S", "Repeats", "new_key"]

# One request for a long wait lasts so long; then it is asked again.
WAIT_STEP_S = 20.0
_FIRST_S, _LONGEST_S = 0.05, 1.0


def new_key() -> str:
    """Return an idempotency key that nobody has used."""
    return f"key-{os.urandom(12).hex()}"


class Repeats:
    """The tries of one request. A daemon that restarts meanwhile is waited for, `patience_s` long.

    What was never sent because nobody listens fails at once: nothing says that a daemon will come.
    """

    def __init__(self, request: Request, *, patience_s: float = 20.0) -> None:
        self._allowed = request.repeatable
        self._pauses = _pauses(patience_s)
        self._broke = False

    def pause_after(self, error: Unreachable) -> float:
        """Return how long to wait before the next try, or raise the error."""
        self._broke = self._broke or isinstance(error, ConnectionLost)
        pause = next(self._pauses, None) if self._allowed and self._broke else None
        if pause is None:
            raise error
        return pause


def _pauses(patience_s: float) -> Iterator[float]:
    """The first try is at once: a connection kept too long is the usual reason."""
    yield 0.0
    pause, spent = _FIRST_S, 0.0
    while spent < patience_s:
        yield pause
        spent += pause
        pause = min(pause * 2, _LONGEST_S)
