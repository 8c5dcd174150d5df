"""Decide what a fire is: one decision of a trigger rule about one instant or one event.

`RuleState` is what the daemon knows of a rule beside its document; a fire and all it starts are
written together (`NewFire`), so that there is never one without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from flowdapt.domain.events import EventDraft
from flowdapt.domain.records import NewRun, Submission

__all__ = [
    "FIRES_PER_MINUTE",
    "MAX_DEPTH",
    "PAUSE_AFTER",
    "Delivery",
    "DeliveryState",
    "Fire",
    "FireState",
    "Fired",
    "NewDelivery",
    "NewFire",
    "Overlap",
    "RuleState",
]

# A chain of events and runs that is longer than this is taken for a loop.
MAX_DEPTH = 8
# A condition that fires more often is stopped for the rest of the minute.
FIRES_PER_MINUTE = 100
# So many fires in a row that could not start anything pause their rule.
PAUSE_AFTER = 10


class FireState(StrEnum):
    """What became of a fire. `waiting` becomes `started`, `skipped` or `failed`; no other changes."""

    STARTED = "started"
    WAITING = "waiting"
    SKIPPED = "skipped"
    MISSED = "missed"
    FAILED = "failed"


class Overlap(StrEnum):
    """What a fire does while a run of its rule is still open."""

    ALLOW = "allow"
    FORBID = "forbid"
    QUEUE_ONE = "queue_one"
    REPLACE = "replace"


class DeliveryState(StrEnum):
    """Whether an action outside the store was done."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RuleState:
    """What is stored of a rule beside its document.

    `signature` tells the document's timing apart: another one begins a new `generation`, whose past
    is never fired (`not_before`). Nothing up to `last_evaluated_at` is looked at again. `failures`
    counts fires in a row that could not start.
    """

    rule: str
    signature: str
    generation: int
    not_before: datetime
    last_evaluated_at: datetime
    paused_at: datetime | None = None
    paused_reason: str | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An action to be done outside the store, at least once, after the fire was written.

    `parameters` and `occasion` are JSON texts.
    """

    action: str
    parameters: str
    occasion: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An action that was taken to be done. `attempt` counts from 1, this try included."""

    number: int
    rule: str
    fire: int
    action: str
    parameters: str
    occasion: str
    attempt: int


@dataclass(slots=True)
class NewFire:
    """A fire with all that it starts, to be written in one transaction.

    Identity: (rule, generation, scheduled_at) or (rule, event_id); without either (by hand) each is
    one of its own. `revision` is the rule's document that it was planned from. `slots` and `until`
    say how many instants a `missed` one sums up, and the last of them. `evaluated_to` moves the rule's
    `last_evaluated_at`. `waiting` is the number of a waiting fire which this one now starts.
    """

    rule: str
    revision: int
    generation: int
    kind: str
    scheduled_at: datetime | None = None
    event_id: str | None = None
    event_cursor: int | None = None
    state: FireState = FireState.STARTED
    reason: str | None = None
    error: str | None = None
    slots: int = 1
    until: datetime | None = None
    overlap: Overlap = Overlap.ALLOW
    evaluated_to: datetime | None = None
    waiting: int | None = None
    depth: int = 0
    runs: list[NewRun] = field(default_factory=list)
    events: list[EventDraft] = field(default_factory=list)
    deliveries: list[NewDelivery] = field(default_factory=list)


class Fire(BaseModel):
    """One stored decision of a rule, newest first in lists. Times are aware UTC.

    `state`: started, waiting (for an open run of the rule), skipped, missed or failed; `reason` is a
    word, `error` a sentence. `runs` are the uids of what it started.
    """

    # Its validator is made when there is a fire to validate: every daemon imports this at its start.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    number: int
    rule: str
    generation: int
    kind: str
    scheduled_at: datetime | None = None
    event_id: str | None = None
    event_cursor: int | None = None
    state: FireState
    reason: str | None = None
    error: str | None = None
    slots: int = 1
    until: datetime | None = None
    fired_at: datetime
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a NewFire. `created` is False when the slot or event was decided before.

    `replaced` are the uids of runs that were asked to end; `paused` says that this failure was one too
    many and paused the rule.
    """

    fire: Fire
    created: bool
    submissions: Sequence[Submission] = ()
    replaced: Sequence[str] = ()
    paused: bool = False
