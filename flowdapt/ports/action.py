"""Promise what a trigger rule does outside the store when it fires: a call, a message, a log line.

`run_workflow` and `publish_event` are written with the fire itself and are no actions of this kind.
The others lie in the store as deliveries until they were done: at least once, so that an action may be
done twice after a crash; `Occasion.delivery` is the same in every try and lets the receiver notice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from pydantic import BaseModel

__all__ = ["Action", "ActionFailed", "Occasion", "occasion_text", "read_occasion"]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why an action is done. Times are aware UTC.

    `kind` is schedule, interval, condition or manual; `event` is what a condition saw, or None.
    `fire` is the fire's number and `delivery` names this one action of it, the same in every try; both
    are filled in when the action is about to be done.
    """

    rule: str
    kind: str
    fired_at: datetime
    scheduled_at: datetime | None = None
    event: dict[str, Any] | None = None
    fire: int = 0
    delivery: str = ""


def occasion_text(occasion: Occasion) -> str:
    """Return the JSON by which a delivery keeps its occasion."""
    return msgspec.json.encode(occasion).decode()


def read_occasion(text: str) -> Occasion:
    """Return the occasion of a delivery. Raise msgspec.DecodeError for what is none."""
    return msgspec.json.decode(text, type=Occasion)


class ActionFailed(Exception):
    """It was not done. `again`: another try may succeed. The message is kept with the delivery.

    `after_s`: not before so many seconds; more than an hour counts as one.
    """

    def __init__(self, message: str, *, again: bool = True, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.again = again
        self.after_s = after_s


class Action(ABC):
    """One way to act; an instance serves all rules of a daemon.

    `parameters` is the model of what a rule may write below `parameters:`. It should forbid extra
    keys; it is checked when the rule is applied (parts that are `{var: …}` only when they are known) and
    again before `perform`.
    """

    name: ClassVar[str]
    parameters: ClassVar[type[BaseModel]]

    @abstractmethod
    async def perform(self, parameters: BaseModel, occasion: Occasion) -> None:
        """Do it, within a minute or so: the caller cancels it later and tries again.

        May block, but not the loop. Raise ActionFailed, also for what another try cannot mend; any
        other exception counts as a failure that may pass. Tries come with growing pauses; a rule's later
        fires do not wait for them, so the order is not kept.
        """
