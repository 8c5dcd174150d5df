"""Calls about the daemon itself: health, plugins, secrets, events, drain, backup, gc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from flowdapt.client.endpoints.making import API, listed, nothing, raw, request, value
from flowdapt.client.wire import Call, Feed, Request, Response

__all__ = [
    "backup",
    "check",
    "delete_secret",
    "drain",
    "events",
    "gc",
    "list_secrets",
    "metrics",
    "openapi",
    "plugins",
    "post_event",
    "put_secret",
    "ready",
    "status",
    "undrain",
    "watch_events",
]

_LONG_S = 600.0


def _text(response: Response) -> str:
    return response.body.decode("utf-8", "replace")


def status() -> Call[dict[str, Any]]:
    return Call(request("GET", "status"), value)


def ready() -> Call[None]:
    """Ask whether the daemon takes work; Unavailable while it starts or drains."""
    return Call(Request("GET", "/readyz"), nothing)


def metrics() -> Call[str]:
    """Get the daemon's own figures in Prometheus text form."""
    return Call(Request("GET", "/metrics"), _text)


def openapi() -> Call[bytes]:
    return Call(Request("GET", f"{API}/openapi.json"), raw)


def plugins() -> Call[list[dict[str, Any]]]:
    return Call(request("GET", "plugins"), listed)


def list_secrets() -> Call[list[dict[str, Any]]]:
    """List the names of secrets; values are never given out."""
    return Call(request("GET", "secrets"), listed)


def put_secret(name: str, secret: str) -> Call[Any]:
    return Call(request("PUT", "secrets", name, content={"value": secret}), value)


def delete_secret(name: str) -> Call[None]:
    return Call(request("DELETE", "secrets", name), nothing)


def events(
    *,
    after: int | None = None,
    run: str | None = None,
    workflow: str | None = None,
    types: Sequence[str] = (),
    subject: str | None = None,
    since: datetime | str | None = None,
    tail: bool = False,
    limit: int | None = None,
) -> Call[dict[str, Any]]:
    """List journal events by cursor, those after the given one; with `tail` the newest ones."""
    given = _chosen(run, workflow, types, subject) | {
        "after": after, "since": since, "tail": tail, "limit": limit,
    }  # fmt: skip
    return Call(request("GET", "events", given=given), value)


def watch_events(
    *,
    after: int | None = None,
    run: str | None = None,
    workflow: str | None = None,
    types: Sequence[str] = (),
    subject: str | None = None,
    on_gap: Callable[[dict[str, Any]], object] | None = None,
) -> Feed[dict[str, Any]]:
    """Follow the journal from now on, after a cursor, or from `Last-Event-ID`.

    `on_gap` is told what the daemon says of events that are not told.
    """

    def read(kind: str, found: Any) -> dict[str, Any] | None:
        if not isinstance(found, dict):
            return None
        if kind != "gap":
            return found
        if on_gap is not None:
            on_gap(found)
        return None

    accept = (("accept", "text/event-stream"),)
    given = _chosen(run, workflow, types, subject) | {"after": after}
    return Feed(request("GET", "events", given=given, headers=accept), read)


def _chosen(
    run: str | None, workflow: str | None, types: Sequence[str], subject: str | None
) -> dict[str, Any]:
    return {"run": run, "workflow": workflow, "type": list(types), "subject": subject}


def post_event(
    type_: str,
    data: Any = None,
    *,
    id_: str,
    source: str | None = None,
    subject: str | None = None,
    correlation_id: str | None = None,
) -> Call[dict[str, Any]]:
    """Add an event to the journal. The same `id_` is the same event, so it may be sent again."""
    given = {"source": source, "subject": subject, "correlationid": correlation_id}
    content = {name: one for name, one in given.items() if one is not None}
    content |= {"specversion": "1.0", "type": type_, "id": id_, "data": data}
    return Call(replace(request("POST", "events", content=content), named=True), value)


def drain(*, now: bool = False) -> Call[Any]:
    """Ask the daemon to end: nothing new is accepted, running stages may end first."""
    return Call(request("POST", "drain", given={"now": now}), value)


def undrain() -> Call[Any]:
    return Call(request("DELETE", "drain"), value)


def backup() -> Call[dict[str, Any]]:
    """Write a checked copy of the database while runs go on; say where it lies."""
    return Call(request("POST", "backup", patience_s=_LONG_S), value)


def gc(*, dry_run: bool = False) -> Call[dict[str, Any]]:
    """Delete what retention and orphaned files leave to delete; say how much."""
    return Call(request("POST", "gc", given={"dry_run": dry_run}, patience_s=_LONG_S), value)


def check() -> Call[dict[str, Any]]:
    """Check the invariants of the store and its files, in the daemon that holds them."""
    return Call(request("GET", "check", patience_s=_LONG_S), value)
