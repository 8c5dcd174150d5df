"""Decide which request gets what: the door first, then the page, its parts or the terminal's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from flowdapt.tui.web.conversation import converse
from flowdapt.tui.web.door import COOKIE, Door
from flowdapt.tui.web.pages import REFUSAL, page, part, refusal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

    from flowdapt.tui.web.sessions import Sessions

__all__ = ["new_app"]

_REFUSED_BEFORE_ACCEPT = 1008


def new_app(door: Door, sessions: Sessions) -> ASGIApp:
    """Return the app of one server."""
    place = door.place

    async def show(request: Request) -> Response:
        if door.admits(request.cookies.get(COOKIE)):
            return page(_host(request))
        # A browser that looks ahead would use up the link before anybody has seen it.
        looks_ahead = "prefetch" in request.headers.get("sec-purpose", "")
        cookie = None if looks_ahead else door.redeem(request.query_params.get("token", ""))
        if cookie is None:
            return refusal(403, REFUSAL)
        shown = page(_host(request))
        shown.set_cookie(COOKIE, cookie, path=f"/{place}/", httponly=True, samesite="strict")
        return shown

    async def show_part(request: Request) -> Response:
        return part(request.path_params["name"]) or refusal(404, "no such part\n")

    async def talk(socket: WebSocket) -> None:
        if not door.admits(socket.cookies.get(COOKIE)):
            await socket.close(_REFUSED_BEFORE_ACCEPT)
            return
        await converse(socket, sessions)

    routes = [
        Route(f"/{place}/", show, methods=["GET"]),
        Route(f"/{place}/parts/{{name:path}}", show_part, methods=["GET"]),
        WebSocketRoute(f"/{place}/terminal", talk),
    ]
    return _Porch(Starlette(routes=routes), door)


class _Porch:
    """Turn away what comes by another name or from another page, before anything is looked at."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = self._verdict(scope)
        if answer is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _REFUSED_BEFORE_ACCEPT})
        else:
            await answer(scope, receive, send)

    def _verdict(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if not self._door.is_addressed(hosts):
            return refusal(421, "this server answers only to its own name\n")
        # A socket is always opened by a page; anything else by a page only if it asks across.
        by_a_page = bool(origins) or scope["type"] == "websocket"
        if by_a_page and not (len(origins) == 1 and self._door.is_own_page(origins[0], hosts[0])):
            return refusal(403, "only its own page may ask this server\n")
        if scope["type"] == "http" and scope["method"] != "GET":
            return refusal(405, "there is nothing to change here\n")
        return None


def _host(request: Request) -> str:
    return request.headers["host"].lower()
