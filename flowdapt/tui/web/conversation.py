"""Decide what a tab and its program say to each other over one WebSocket.

Bytes are keys and output as they are; texts are JSON: `open`, `resize` and `bye` from the page,
`session`, `ended` and `refused` from here. A page that breaks these rules is closed.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from starlette.websockets import WebSocket, WebSocketState

from flowdapt.tui.web.sessions import Full, Session, Sessions
from flowdapt.tui.web.terminal import Size

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["converse"]

_BROKEN_RULE, _TRY_LATER = 1008, 1013
# Ends whatever sequence was cut off with the line.
_CANCEL = b"\x18"


class _BadMessage(Exception):
    """The page said something that it never says."""


async def converse(socket: WebSocket, sessions: Sessions) -> None:
    """Serve one tab until it goes or its program ends."""
    await socket.accept()
    try:
        session = await _open(socket, sessions)
    except _BadMessage:
        await _close(socket, _BROKEN_RULE)
        return
    except (Full, OSError) as error:
        await _tell(socket, type="refused", reason=_refusal(error))
        await _close(socket, _TRY_LATER)
        return
    showing = asyncio.create_task(_show(socket, session, sessions))
    session.reader = showing
    try:
        left_on_purpose = await _listen(socket, session)
    finally:
        showing.cancel()
    if session.reader is not showing or session.ended:
        return
    session.reader = None
    if left_on_purpose:
        await sessions.end(session)
    else:
        sessions.leave(session)


async def _open(socket: WebSocket, sessions: Sessions) -> Session:
    # A disconnect has no text either.
    message = _message((await socket.receive()).get("text") or "")
    if message.get("type") != "open":
        raise _BadMessage
    size = _size(message)
    key = message.get("session")
    session = sessions.find(key) if isinstance(key, str) else None
    if session is not None:
        await socket.send_bytes(_CANCEL)
        session.redraw(size)
    else:
        session = await sessions.start(size)
    await _tell(socket, type="session", key=session.key)
    return session


async def _show(socket: WebSocket, session: Session, sessions: Sessions) -> None:
    while output := await session.terminal.read():
        await socket.send_bytes(output)
    code = await sessions.end(session)
    await _tell(socket, type="ended", code=code)
    await _close(socket, 1000)


async def _listen(socket: WebSocket, session: Session) -> bool:
    """Pass on what the page says; tell whether it left on purpose, or the line broke."""
    while True:
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            return False
        keys = event.get("bytes")
        if session.ended:
            continue
        if keys is not None:
            session.terminal.write(keys)
            continue
        try:
            message = _message(event.get("text") or "")
            # The server does not tell why a line was closed: a tab that goes says so before.
            if message.get("type") == "bye":
                return True
            session.resize(_size(message))
        except _BadMessage:
            await _close(socket, _BROKEN_RULE)
            return True


def _message(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _BadMessage from None
    if not isinstance(found, dict):
        raise _BadMessage
    return cast("Mapping[str, Any]", found)


def _size(message: Mapping[str, Any]) -> Size:
    columns, rows = message.get("columns"), message.get("rows")
    if type(columns) is not int or type(rows) is not int:
        raise _BadMessage
    return Size.bounded(columns, rows)


def _refusal(error: Full | OSError) -> str:
    if isinstance(error, Full):
        return "as many tabs are open as may be: close one, then reload this one"
    return f"no process could be started: {error.strerror}"


async def _tell(socket: WebSocket, **message: Any) -> None:
    await socket.send_text(json.dumps(message))


async def _close(socket: WebSocket, code: int) -> None:
    both = {socket.application_state, socket.client_state}
    if WebSocketState.DISCONNECTED not in both:
        await socket.close(code)
