"""Carry a fire out: plan it, have the store write it, and wake whoever goes on with what it started."""

from __future__ import annotations

from datetime import datetime

from flowdapt.domain.errors import QueueFull
from flowdapt.domain.events import TRIGGER_FIRED
from flowdapt.domain.fire import Fired, FireState, NewFire
from flowdapt.domain.rule import Rule
from flowdapt.failpoints import failpoint
from flowdapt.ports.broker import DELIVERY_READY, EVENT_ADDED, RUN_CANCEL, Broker, Message
from flowdapt.ports.store import Store
from flowdapt.services.planning import Cause, Planner, failed
from flowdapt.services.submission import Submitter

__all__ = ["Firing"]


class Firing:
    """Fires rules; used by the trigger service and for fires by hand."""

    def __init__(
        self, *, store: Store, broker: Broker, planner: Planner, submitter: Submitter
    ) -> None:
        self._store = store
        self._broker = broker
        self._planner = planner
        self._submitter = submitter

    async def fire(
        self,
        rule: Rule,
        generation: int,
        cause: Cause,
        *,
        reason: str | None = None,
        evaluated_to: datetime | None = None,
        waiting: int | None = None,
    ) -> Fired:
        """Fire once for the cause. Raise StaleRule when the rule changed meanwhile, Unavailable."""
        new = await self._planner.plan(rule, generation, cause)
        new.reason = new.reason or reason
        new.evaluated_to, new.waiting = evaluated_to, waiting
        try:
            return await self.write(new)
        except QueueFull as error:
            failed(new, error)
            return await self.write(new)

    async def write(self, new: NewFire) -> Fired:
        """Have a planned fire written."""
        failpoint("fire.before_store")
        fired = await self._store.fire(new)
        failpoint("fire.after_store")
        if fired.created:
            await self._tell(fired, new)
        return fired

    async def _tell(self, fired: Fired, new: NewFire) -> None:
        for uid in fired.replaced:
            self._broker.publish(Message(RUN_CANCEL, uid, "replaced"))
        for submission, run in zip(fired.submissions, new.runs, strict=False):
            await self._submitter.announce(submission, run)
        if new.deliveries and fired.fire.state is FireState.STARTED:
            self._broker.publish(Message(DELIVERY_READY, new.rule))
        self._broker.publish(Message(EVENT_ADDED, TRIGGER_FIRED))
