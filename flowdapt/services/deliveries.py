"""Do what fires have to do outside the store: take deliveries, let actions perform them, note how it went.

The row is the truth: whoever dies between doing and noting does it again when the lease ends, under the
same delivery id. How an action acts is its own business; when it is tried again is `domain.delivering`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import trio
from pydantic import BaseModel, ValidationError

from flowdapt.domain.delivering import MAX_TRIES, delivery_id, pause_s
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.fire import Delivery, DeliveryState
from flowdapt.domain.trigger_facts import delivery_failed
from flowdapt.failpoints import failpoint
from flowdapt.logs import get_log
from flowdapt.ports.action import Action, ActionFailed, Occasion, read_occasion
from flowdapt.ports.broker import DELIVERY_READY, EVENT_ADDED, Broker, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Store

__all__ = ["Deliveries"]

AT_ONCE = 16
PER_RULE = 4
LEASE_S = 60.0
# Shorter than the lease: nobody does it again while it is being done.
TRY_S = 50.0
LOOK_S = 5.0
_ERROR_CHARS = 1000

log = get_log("flowdapt.deliveries")


class Deliveries:
    """The deliveries of one daemon. `action` returns what acts by its name, or raises FlowdaptError."""

    def __init__(
        self, *, store: Store, broker: Broker, clock: Clock, action: Callable[[str], Action]
    ) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._action = action
        self._busy: Counter[str] = Counter()
        # When the next try of ours is due, on the monotonic clock.
        self._again: set[float] = set()
        self._wake = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; what is being done then is due again when its lease ends."""
        async with (
            self._broker.subscribe(DELIVERY_READY, capacity=1) as hints,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._listen, hints)
            task_status.started()
            while True:
                self._wake = trio.Event()
                try:
                    await self._begin_what_is_due(nursery)
                except FlowdaptError as error:
                    log.warning("deliveries wait for the store", reason=error.message)
                    await self._clock.sleep(LOOK_S)
                else:
                    await self._rest()

    async def _listen(self, hints: AsyncIterator[Message]) -> None:
        async for _ in hints:
            self._wake.set()

    async def _rest(self) -> None:
        now = self._clock.monotonic()
        self._again = {at for at in self._again if at > now}
        with trio.move_on_after(min(LOOK_S, min(self._again, default=now + LOOK_S) - now)):
            await self._wake.wait()

    async def _begin_what_is_due(self, nursery: trio.Nursery) -> None:
        """Take no more than can be begun at once, so that no lease is spent on waiting."""
        while (limit := self._room()) > 0:
            taken = await self._store.claim_deliveries(
                limit=limit, lease_s=LEASE_S, skip_rules=self._full()
            )
            for delivery in taken:
                self._busy[delivery.rule] += 1
                nursery.start_soon(self._deliver, delivery)
            if len(taken) < limit:
                return

    def _full(self) -> list[str]:
        return [rule for rule, count in self._busy.items() if count >= PER_RULE]

    def _room(self) -> int:
        """Return how many may be taken even if all of them are of the busiest rule with room left."""
        busiest = max((n for n in self._busy.values() if n < PER_RULE), default=0)
        return min(AT_ONCE - self._busy.total(), PER_RULE - busiest)

    async def _deliver(self, delivery: Delivery) -> None:
        with trio.move_on_after(LEASE_S):
            await self._try(delivery)
        self._busy[delivery.rule] -= 1
        self._busy += Counter()
        # Others may have waited for this place.
        self._wake.set()

    # -- one try ---------------------------------------------------------------------------------

    async def _try(self, delivery: Delivery) -> None:
        try:
            occasion = _occasion(delivery)
        except msgspec.DecodeError as error:
            failure = ActionFailed(f"the occasion cannot be read: {error}", again=False)
            await self._failed(delivery, None, failure)
            return
        failpoint("delivery.before_perform")
        failed = await self._perform(delivery, occasion)
        failpoint("delivery.after_perform")
        if failed is None:
            await self._end(delivery, DeliveryState.DELIVERED)
        else:
            await self._failed(delivery, occasion, failed)

    async def _perform(self, delivery: Delivery, occasion: Occasion) -> ActionFailed | None:
        """Let the action act; return why it was not done."""
        try:
            with trio.move_on_after(TRY_S):
                action = self._action(delivery.action)
                await action.perform(_parameters(action, delivery.parameters), occasion)
                return None
        except ActionFailed as failure:
            return failure
        except FlowdaptError as error:
            return ActionFailed(error.message)
        # Actions are others' code: whatever they raise is theirs alone.
        except (Exception, SystemExit) as error:
            log.warning("an action raised", **_told(delivery), exc_info=error)
            return ActionFailed(f"{type(error).__name__}: {_words(error)}")
        return ActionFailed(f"not done within {TRY_S:g} s")

    async def _failed(
        self, delivery: Delivery, occasion: Occasion | None, failure: ActionFailed
    ) -> None:
        message = failure.message[:_ERROR_CHARS]
        if failure.again and delivery.attempt < MAX_TRIES:
            await self._put_off(delivery, message, failure.after_s)
        else:
            await self._give_up(delivery, occasion, message)

    async def _put_off(self, delivery: Delivery, message: str, wish_s: float) -> None:
        pause = pause_s(delivery.attempt, wish_s)
        log.info(
            "an action is tried again", **_told(delivery), in_s=round(pause, 1), reason=message
        )
        if pause < LOOK_S:
            self._again.add(self._clock.monotonic() + pause)
        at = self._clock.now() + timedelta(seconds=pause)
        await self._end(delivery, DeliveryState.PENDING, message, at)

    async def _give_up(self, delivery: Delivery, occasion: Occasion | None, message: str) -> None:
        """Tell it before it is noted: told twice it is one event, told never it would be lost."""
        log.warning("an action is given up", **_told(delivery), reason=message)
        name = occasion.delivery if occasion is not None else f"dlv-{delivery.number}"
        event = delivery_failed(delivery, name, message, _depth(occasion))
        await self._written(lambda: self._store.add_event(event))
        self._broker.publish(Message(EVENT_ADDED, event.type))
        await self._end(delivery, DeliveryState.FAILED, message)

    async def _end(
        self,
        delivery: Delivery,
        state: DeliveryState,
        error: str | None = None,
        again_at: datetime | None = None,
    ) -> None:
        await self._written(
            lambda: self._store.end_delivery(delivery.number, state, error=error, again_at=again_at)
        )

    async def _written(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write; a store that cannot just now is asked again as long as the lease lasts."""
        while True:
            try:
                await write()
            except FlowdaptError as error:
                log.warning("the end of an action cannot be noted", reason=error.message)
                await self._clock.sleep(LOOK_S)
            else:
                return


def _occasion(delivery: Delivery) -> Occasion:
    kept = read_occasion(delivery.occasion)
    name = delivery_id(delivery, kept.fired_at)
    return replace(kept, fire=delivery.fire, delivery=name)


def _parameters(action: Action, text: str) -> BaseModel:
    try:
        return action.parameters.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        words = f"{place}: {first['msg']}" if place else first["msg"]
        raise ActionFailed(words, again=False) from None


def _depth(occasion: Occasion | None) -> int:
    """Return the place in the chain of causes of what follows from an occasion."""
    event = occasion.event if occasion is not None else None
    depth = (event or {}).get("causation_depth", 0)
    return depth + 1 if isinstance(depth, int) else 1


def _told(delivery: Delivery) -> Mapping[str, Any]:
    return {
        "rule": delivery.rule,
        "fire": delivery.fire,
        "action": delivery.action,
        "attempt": delivery.attempt,
    }


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its words cannot be had"
