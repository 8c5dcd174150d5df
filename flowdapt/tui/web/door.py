"""Decide which browser is let in: the address it asked for, the page it comes from, what it holds.

A link works once and is traded for a cookie. Knows no server: takes texts, gives verdicts.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque

__all__ = ["COOKIE", "Door"]

COOKIE = "flowdapt-screens"
# Browsers that may be in at once; the oldest is forgotten first.
MOST_BROWSERS = 32
_TOKEN_BYTES = 32
_PLACE_BYTES = 15


class Door:
    """Hold the secrets of one server, as hashes, for as long as it lives.

    Everything is served below `/{place}/`, which nobody can guess: browsers send a cookie to every
    port of a host, but only below its path, so no other server on this machine is sent ours.
    """

    def __init__(self, port: int) -> None:
        self.place = secrets.token_urlsafe(_PLACE_BYTES)
        self.authority = f"127.0.0.1:{port}"
        self._authorities = {self.authority, f"localhost:{port}"}
        self._token = b""
        self._cookies: deque[bytes] = deque(maxlen=MOST_BROWSERS)

    def new_link(self) -> str:
        """Return a link for one browser; one given before and not used yet is void from now on."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._token = _digest(token)
        return f"http://{self.authority}/{self.place}/?token={token}"

    def redeem(self, token: str) -> str | None:
        """Trade the token of the link for a cookie's value, once."""
        if not self._token or not hmac.compare_digest(self._token, _digest(token)):
            return None
        self._token = b""
        cookie = secrets.token_urlsafe(_TOKEN_BYTES)
        self._cookies.append(_digest(cookie))
        return cookie

    def admits(self, cookie: str | None) -> bool:
        """Say whether a cookie is one that was given here."""
        if cookie is None:
            return False
        shown = _digest(cookie)
        # All are compared: how long it takes tells nothing.
        return any([hmac.compare_digest(known, shown) for known in self._cookies])  # noqa: C419 - see above

    def is_addressed(self, hosts: list[str]) -> bool:
        """Say whether the Host headers name this server: a name of others may lead here by DNS."""
        return len(hosts) == 1 and hosts[0].lower() in self._authorities

    def is_own_page(self, origin: str, host: str) -> bool:
        """Say whether a page that asks was served from here, by the very name that it asks by."""
        return self.is_addressed([host]) and origin == f"http://{host.lower()}"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
