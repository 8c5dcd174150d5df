"""Calls about trigger rules: at a glance, next instants, history, by hand, pause, test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints.making import page, request
from flowdapt.client.wire import Call, Response, json_of

if TYPE_CHECKING:
    from flowdapt.domain.fire import Fire
    from flowdapt.domain.resource import Outlook
    from flowdapt.domain.trigger_views import TriggerStatus, TriggerTest
    from flowdapt.ports.store import Page

__all__ = ["fire", "fires", "list_", "next_", "pause", "resume", "status", "try_"]

# An event, or the cursor or the id of one in the journal.
Event = Mapping[str, Any] | int | str


def _status_of(found: Any) -> TriggerStatus:
    from flowdapt.domain.trigger_views import TriggerStatus

    return TriggerStatus.model_validate(found)


def _status(response: Response) -> TriggerStatus:
    return _status_of(json_of(response))


def _fire_of(found: Any) -> Fire:
    from flowdapt.domain.fire import Fire

    return Fire.model_validate(found)


def _outlook(response: Response) -> Outlook:
    from flowdapt.domain.resource import Outlook

    return Outlook.model_validate(json_of(response))


def _test(response: Response) -> TriggerTest:
    from flowdapt.domain.trigger_views import TriggerTest

    return TriggerTest.model_validate(json_of(response))


def _chosen(event: Event | None) -> dict[str, Any]:
    return {} if event is None else {"event": event}


def list_(
    *, q: str | None = None, cursor: str | None = None, limit: int | None = None
) -> Call[Page[TriggerStatus]]:
    """List rules at a glance, by name; `q` is a part of the name."""
    given = {"q": q, "cursor": cursor, "limit": limit}
    made = request("GET", "trigger-status", given=given)
    return Call(made, lambda answer: page(answer, _status_of))


def status(name: str) -> Call[TriggerStatus]:
    """Get a rule at a glance."""
    return Call(request("GET", "triggers", name, "status"), _status)


def next_(name: str, *, count: int | None = None) -> Call[Outlook]:
    """Get the next instants of a rule of time; Conflict for a condition."""
    return Call(request("GET", "triggers", name, "next", given={"n": count}), _outlook)


def fires(
    name: str,
    *,
    state: Sequence[str] = (),
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[Page[Fire]]:
    """List what a rule has decided, newest first."""
    given = {"state": list(state), "cursor": cursor, "limit": limit}
    made = request("GET", "triggers", name, "fires", given=given)
    return Call(made, lambda answer: page(answer, _fire_of))


def fire(name: str, *, event: Event | None = None) -> Call[Fire]:
    """Fire a rule by hand, as if for the event. Sent once: asked again it fires again."""
    made = request("POST", "triggers", name, "fire", content=_chosen(event))
    return Call(made, lambda answer: _fire_of(json_of(answer)))


def pause(name: str, *, reason: str | None = None) -> Call[TriggerStatus]:
    """Keep a rule from firing by itself."""
    content = {} if reason is None else {"reason": reason}
    return Call(request("POST", "triggers", name, "pause", content=content), _status)


def resume(name: str) -> Call[TriggerStatus]:
    """Let a paused rule go on from now."""
    return Call(request("POST", "triggers", name, "resume"), _status)


def try_(name: str, *, event: Event | None = None) -> Call[TriggerTest]:
    """Say whether a rule would fire for the event, or at this moment; change nothing."""
    made = request("POST", "triggers", name, "test", content=_chosen(event))
    return Call(made, _test)
