"""Decide how clients are told of trigger rules, and what they may ask of them.

`TriggerStatus` is a rule at a glance, `TriggerTest` what it would do; what a rule means is `rule.py`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from flowdapt.domain.condition_nodes import Clause
from flowdapt.domain.fire import Fire
from flowdapt.domain.seen_event import channel_of

__all__ = [
    "ActionPreview",
    "EventChoice",
    "GivenEvent",
    "PauseRequest",
    "TriggerState",
    "TriggerStatus",
    "TriggerTest",
]

_Word = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class TriggerState(StrEnum):
    """Whether a rule fires by itself: `broken` means that it was stored and means nothing now."""

    ARMED = "armed"
    PAUSED = "paused"
    DISABLED = "disabled"
    BROKEN = "broken"


class TriggerStatus(BaseModel):
    """A trigger rule at a glance. Times are aware UTC.

    `last` is its newest decision, whatever that was; `last_started` the newest that started something.
    `per_day` and `next_at` are there for rules of time, `next_at` only while the rule is armed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    revision: int
    type: str
    state: TriggerState
    words: str = ""
    description: str = ""
    timezone: str = "UTC"
    per_day: float | None = None
    overlap: str = ""
    catch_up: str = ""
    actions: tuple[str, ...] = ()
    next_at: datetime | None = None
    paused_at: datetime | None = None
    paused_reason: str | None = None
    failures: int = 0
    broken: str | None = None
    last: Fire | None = None
    last_started: Fire | None = None


class ActionPreview(BaseModel):
    """What an action of a rule would be given; `error` says why it could not be done."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    target: str
    parameters: Any = None
    error: str | None = None


class TriggerTest(BaseModel):
    """What a rule would do, without doing it.

    `holds`: its condition holds for the event, or an instant of it is due. `obstacles` say what would
    keep it from starting anything all the same; it `fires` when there are none. `event` is what the
    condition sees, `clause` what it came to. `missed` counts instants that are not made up for.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    rule: str
    type: str
    holds: bool
    fires: bool
    obstacles: tuple[str, ...] = ()
    event: dict[str, Any] | None = None
    clause: Clause | None = None
    due: tuple[datetime, ...] = ()
    missed: int = 0
    next_at: datetime | None = None
    actions: tuple[ActionPreview, ...] = ()


class GivenEvent(BaseModel):
    """An event that somebody makes up, or copies from `flowdapt events -o json`."""

    model_config = ConfigDict(frozen=True, strict=True)

    type: Annotated[str, Field(max_length=200)] = ""
    data: Any = None
    id: _Word | None = None
    time: _Word | None = None
    source: _Word = "test"
    subject: _Word = ""
    correlation_id: _Word | None = None
    channel: _Word | None = None
    headers: dict[str, Any] = Field(default_factory=dict)
    run: _Word | None = None
    seq: Annotated[int, Field(ge=0, le=2**53)] | None = None
    causation_depth: Annotated[int, Field(ge=0, le=1000)] = 0

    def seen(self) -> dict[str, Any]:
        """Return it as conditions and actions see events."""
        return self.model_dump() | {"channel": self.channel or channel_of(self.type)}


class EventChoice(BaseModel):
    """The event to look at: whole, or the cursor or the id of one in the journal.

    Without one a fire has no event, and a test of a condition takes the newest of the rule's types.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: (
        GivenEvent
        | Annotated[int, Field(strict=True, ge=1, le=2**53)]
        | Annotated[str, Field(strict=True, min_length=1, max_length=200)]
        | None
    ) = None


class PauseRequest(BaseModel):
    """Why a rule is to be paused, for whoever looks at it later."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Annotated[_Word, Field(min_length=1)] = "user"
