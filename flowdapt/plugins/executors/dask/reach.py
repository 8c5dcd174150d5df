"""Decide when nobody will answer at a scheduler's address: Dask itself tries on for as long as it may."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

__all__ = ["reached"]

# A scheduler that is just being started again listens a moment later.
_KNOCK_EVERY_S, _KNOCKS = 0.2, 5
# Who is silent that long does not refuse.
_KNOCK_S = 1.0


async def reached(connecting: Coroutine[Any, Any, None], url: str, timeout_s: float) -> None:
    """Connect; raise ConnectionRefusedError within about a second where nothing listens.

    Raise TimeoutError when it took too long, and what connecting raises.
    """
    doing = asyncio.ensure_future(connecting)
    refusing = asyncio.ensure_future(_be_refused(url))
    try:
        await asyncio.wait(
            [doing, refusing], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if doing.done():
            return doing.result()
        if refusing.done():
            return refusing.result()
        raise TimeoutError
    finally:
        refusing.cancel()
        doing.cancel()
        await asyncio.gather(doing, refusing, return_exceptions=True)


async def _be_refused(url: str) -> None:
    """Raise ConnectionRefusedError once every knock was refused; wait for ever when somebody may answer.

    The first knock comes late: one that is answered is a line in the log of somebody else's scheduler.
    """
    for _ in range(_KNOCKS):
        await asyncio.sleep(_KNOCK_EVERY_S)
        if not await asyncio.to_thread(_is_refused, url):
            await asyncio.get_running_loop().create_future()
    raise ConnectionRefusedError("it refuses connections, nothing listens there")


def _is_refused(url: str) -> bool:
    """Say whether all addresses of a host refuse."""
    try:
        place = urlsplit(url)
        to = (place.hostname or "", place.port or 0)
        socket.create_connection(to, _KNOCK_S, all_errors=True).close()
    except ExceptionGroup as failed:
        return all(isinstance(error, ConnectionRefusedError) for error in failed.exceptions)
    except (OSError, ValueError, OverflowError):
        return False  # Dask has words for it
    return False
