"""Decide what is served beside the terminal: one page, its parts, and what a browser may do with them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, PlainTextResponse, Response

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["REFUSAL", "page", "part", "refusal"]

REFUSAL = (
    "This link has been used, or is none.\n\n"
    "Each link works once, in one browser. For another one press Enter in the terminal where\n"
    "`flowdapt ui --web` runs, and open what it prints.\n"
)
_JAVASCRIPT, _CSS = "text/javascript", "text/css"
_PARTS = {
    "screens.js": _JAVASCRIPT,
    "screens.css": _CSS,
    "vendor/xterm.mjs": _JAVASCRIPT,
    "vendor/xterm.css": _CSS,
    "vendor/addon-fit.mjs": _JAVASCRIPT,
    "vendor/addon-unicode11.mjs": _JAVASCRIPT,
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class _Part:
    content: bytes
    kind: str


def page(authority: str) -> Response:
    """Return the page of the terminal, which may load its own parts and nothing else."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"{_NOTHING}; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src data:; "
        f"connect-src 'self' ws://{authority}"
    )
    text = _static().joinpath("page.html").read_text("utf-8").replace("{nonce}", nonce)
    return HTMLResponse(text, headers=_HEADERS | {"Content-Security-Policy": policy})


def part(name: str) -> Response | None:
    """Return one of the page's parts."""
    if name not in _PARTS:
        return None
    found = _read(name)
    headers = _HEADERS | {"Content-Security-Policy": _NOTHING}
    return Response(found.content, media_type=found.kind, headers=headers)


def refusal(status: int, text: str) -> Response:
    headers = _HEADERS | {"Content-Security-Policy": _NOTHING}
    return PlainTextResponse(text, status, headers=headers)


@cache
def _read(name: str) -> _Part:
    return _Part(_static().joinpath(name).read_bytes(), _PARTS[name])


def _static() -> Traversable:
    return resources.files("flowdapt.tui.web").joinpath("static")
