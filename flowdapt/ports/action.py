"""Promise what a trigger rule does outside the store when it fires: a call, a message, a log line.

`run_workflow` and `publish_event` are written with the fire itself and are no actions of this kind.
The others lie in the store as deliveries until they were done: at least once, so that an action may be
done twice after a crash; `Occasion.delivery` is the same in every try and lets the receiver notice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel

__all__ = ["Action", "ActionFailed", "Occasion"]


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why an action is done. Times are aware UTC.

    `kind` is schedule, interval, condition or manual; `event` is what a condition saw, or None.
    `delivery` names this one action of this one fire, the same in every try.
    """

    rule: str
    kind: str
    fire: int
    delivery: str
    fired_at: datetime
    scheduled_at: datetime | None = None
    event: Mapping[str, Any] | None = None


class ActionFailed(Exception):
    """It was not done. `again`: another try may succeed. The message is kept with the delivery."""

    def __init__(self, message: str, *, again: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.again = again


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
