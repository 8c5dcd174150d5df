"""Promise what triggers need of a store: the state of rules, fires, deliveries, places in the journal.

The second half of `flowdapt.ports.store.Store`, whose general promises hold here too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from flowdapt.domain.fire import Delivery, DeliveryState, Fire, Fired, NewFire, RuleState

if TYPE_CHECKING:
    from flowdapt.ports.store import Page

__all__ = ["TriggerStore"]


class TriggerStore(ABC):
    """Rules' state, fires, deliveries and the places of readers in the journal."""

    @abstractmethod
    async def list_rule_states(self) -> Mapping[str, RuleState]:
        """Return the state of every rule that has one, by the rule's name."""

    @abstractmethod
    async def begin_generation(
        self, rule: str, *, signature: str, not_before: datetime
    ) -> RuleState:
        """Return the rule's state; begin a new generation when its signature is another one.

        A new generation (1 for a new rule) has evaluated everything up to `not_before`. Pause and
        failures stay. Durable; services that do the same at once get the same generation.
        """

    @abstractmethod
    async def pause_rule(self, rule: str, *, reason: str) -> RuleState:
        """Pause, with an event; a paused rule stays as it is. Raise NotFound without a state."""

    @abstractmethod
    async def resume_rule(self, rule: str) -> RuleState:
        """Go on from now: nothing that lies before is fired. Raise NotFound without a state."""

    @abstractmethod
    async def fire(self, new: NewFire) -> Fired:
        """Write a fire with its runs, events and deliveries in ONE durable transaction.

        A fire of the same identity that is there already is returned (`created` False), nothing is
        written. Raise StaleRule when the rule is gone, has another revision or generation, or is
        paused (fires by hand: only when it is gone). What holds of `Store.submit` holds of each run:
        QueueFull leaves no trace.

        While a run of the rule is open, `overlap` decides: `forbid` stores the fire skipped (reason
        `overlap`), `queue_one` stores it waiting (skipped, reason `waiting`, when one waits already),
        `replace` requests the cancel of the open runs (reason `replaced`). A `failed` fire counts up
        the rule's failures, a started one sets them to 0; the tenth in a row pauses the rule, with an
        event. Each fire writes its event, a repeated one none. More than FIRES_PER_MINUTE started fires
        of a condition in a minute are stored skipped (reason `rate`); only the first such one of a minute
        is stored and told.
        """

    @abstractmethod
    async def end_waiting(self, number: int, *, reason: str) -> bool:
        """Give a waiting fire up (skipped, with the reason); False when it waits no longer."""

    @abstractmethod
    async def list_fires(
        self,
        *,
        rule: str | None = None,
        states: Sequence[str] = (),
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Fire]:
        """List fires, newest first."""

    @abstractmethod
    async def waiting_fires(self) -> list[Fire]:
        """Return the fires that wait while no run of their rule is open, oldest first."""

    @abstractmethod
    async def claim_deliveries(
        self, *, limit: int, lease_s: float, skip_rules: Collection[str] = ()
    ) -> list[Delivery]:
        """Take due deliveries, oldest first; they are due again when the lease ends unanswered.

        Those of `skip_rules` stay. Without any that is due nothing is written.
        """

    @abstractmethod
    async def end_delivery(
        self, number: int, state: DeliveryState, *, error: str | None, again_at: datetime | None
    ) -> None:
        """Note how a try ended. `pending` with `again_at`: it is due then."""

    @abstractmethod
    async def get_cursor(self, consumer: str) -> int | None:
        """Return how far a consumer has read the journal; None when it never said."""

    @abstractmethod
    async def move_cursor(self, consumer: str, cursor: int) -> None:
        """Note how far a consumer has read; it never goes back. Not durable at once."""

    @abstractmethod
    async def newest_cursor(self, *, before: datetime | None = None) -> int:
        """Return the cursor of the newest event, 0 without any.

        With `before`: a cursor such that no event that belongs to no run and was written at or after
        that instant lies at or below it.
        """
