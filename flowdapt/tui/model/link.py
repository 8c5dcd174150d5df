"""Decide what is true of the connection: nobody there, connecting, live, reconnecting, stale, older.

The feed tells what happened; the banner is what a person is told of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

__all__ = ["Banner", "Link", "LinkState", "compatible"]

_STALE_AFTER = timedelta(seconds=10)
_SAID_FOR = timedelta(seconds=8)


class LinkState(StrEnum):
    """How the TUI stands to the daemon."""

    CONNECTING = "connecting"
    STARTING = "starting"
    NONE = "no daemon"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    STALE = "stale"
    OLDER = "another version"


@dataclass(frozen=True, slots=True)
class Banner:
    """One line above everything; `style` is a name of the palette."""

    text: str
    style: str


@dataclass(slots=True)
class Link:
    """The connection as it is. `why` and `fix` are the last refusal's words."""

    version: str
    state: LinkState = LinkState.CONNECTING
    why: str = ""
    fix: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)
    last_heard: datetime | None = None
    lost_at: datetime | None = None
    restarted_at: datetime | None = None
    missed: int = 0

    @property
    def live(self) -> bool:
        return self.state is LinkState.LIVE

    @property
    def usable(self) -> bool:
        """Say whether a request has a chance now."""
        return self.state in {LinkState.LIVE, LinkState.OLDER}

    def starting(self) -> None:
        self.state, self.why = LinkState.STARTING, ""

    def greeted(self, status: Mapping[str, Any], now: datetime) -> None:
        """Take what the daemon says of itself; note when it is another process than before."""
        if self.status and self.status.get("pid") != status.get("pid"):
            self.restarted_at = now
        self.status, self.last_heard, self.lost_at, self.why, self.fix = status, now, None, "", ""
        fits = compatible(self.version, str(status.get("version", "")))
        self.state = LinkState.LIVE if fits else LinkState.OLDER

    def heard(self, now: datetime) -> None:
        self.last_heard = now

    def lost(self, why: str, now: datetime, *, fix: str = "") -> None:
        """Take that nobody answers (any more)."""
        self.why, self.fix = why, fix
        if self.status:
            self.lost_at = self.lost_at or now
            self.state = LinkState.STALE if self._old(now) else LinkState.RECONNECTING
        else:
            self.state = LinkState.NONE

    def _old(self, now: datetime) -> bool:
        return self.lost_at is not None and now - self.lost_at > _STALE_AFTER

    def banner(self, now: datetime) -> Banner | None:
        """Return what stands above everything; None when there is nothing to say."""
        match self.state:
            case LinkState.CONNECTING:
                return Banner("connecting …", "dim")
            case LinkState.STARTING:
                return Banner("starting the daemon …", "busy")
            case LinkState.NONE:
                why = self.why if self.why.startswith("no daemon") else f"no daemon: {self.why}"
                return Banner(why, "bad")
            case LinkState.RECONNECTING:
                return Banner("reconnecting … the daemon went away", "warn")
            case LinkState.STALE:
                return Banner(f"stale: this is how it was {self._clock()}; {self.why}", "bad")
            case LinkState.OLDER:
                return Banner(_versions(self.version, str(self.status.get("version"))), "warn")
        return self._news(now)

    def _clock(self) -> str:
        return "" if self.last_heard is None else f"at {self.last_heard:%H:%M:%S} UTC"

    def _news(self, now: datetime) -> Banner | None:
        """Return what to say of a daemon that is well: it drains, warns, or has just restarted."""
        if self.status.get("draining"):
            return Banner("the daemon is about to end: it begins nothing new", "warn")
        if warnings := self.status.get("warnings"):
            return Banner(str(warnings[0]), "warn")
        if self.restarted_at is not None and now - self.restarted_at < _SAID_FOR:
            return Banner("the daemon was restarted; all is up to date again", "good")
        return None


def _versions(ours: str, theirs: str) -> str:
    older = _numbers(theirs) < _numbers(ours)
    word = "an older" if older else "a newer"
    way = "flowdapt down && flowdapt up" if older else "upgrade this one"
    # The way out stands before the rest: 80 columns cut the end.
    return f"{word} daemon ({theirs}, here {ours}): {way}.  Some of it may not work until then"


def compatible(ours: str, theirs: str) -> bool:
    """Say whether two versions speak alike: the same major and minor number."""
    return _numbers(ours)[:2] == _numbers(theirs)[:2]


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.partition("+")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts[:3])
