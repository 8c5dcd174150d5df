"""The part of the store's contract about what fires do outside the store: who is given what, and when."""

from __future__ import annotations

from flowdapt.domain.fire import DeliveryState, NewDelivery
from flowdapt.testing.store_submission import OpensStore
from flowdapt.testing.store_triggers import RULE, T0, a_rule, fire_of

__all__ = ["DeliveryContract"]


class DeliveryContract(OpensStore):
    """What `TriggerStore.claim_deliveries` and `end_delivery` promise."""

    async def test_a_delivery_is_due_until_it_was_answered(self) -> None:
        async with self.opened() as store:
            state = await a_rule(store)
            todo = [NewDelivery("log", '{"n":1}', "{}"), NewDelivery("log", '{"n":2}', "{}")]
            await store.fire(fire_of(state, runs=0, deliveries=todo))
            first = await store.claim_deliveries(limit=9, lease_s=60.0)
            assert await store.claim_deliveries(limit=9, lease_s=60.0) == []
            one, two = (delivery.number for delivery in first)
            await store.end_delivery(one, DeliveryState.DELIVERED, error=None, again_at=None)
            await store.end_delivery(two, DeliveryState.PENDING, error="refused", again_at=T0)
            (again,) = await store.claim_deliveries(limit=9, lease_s=0.0)
            (lost,) = await store.claim_deliveries(limit=9, lease_s=0.0)
        assert [(d.parameters, d.attempt) for d in first] == [('{"n":1}', 1), ('{"n":2}', 1)]
        assert (again.number, again.attempt, again.rule) == (two, 2, RULE)
        assert lost.attempt == 3

    async def test_deliveries_of_rules_that_are_busy_stay(self) -> None:
        async with self.opened() as store:
            for name in ("slow", "slower", "quick"):
                state = await a_rule(store, name)
                todo = [NewDelivery("log", f'{{"of":"{name}"}}', "{}")] * 2
                await store.fire(fire_of(state, runs=0, deliveries=todo))
            skip = ["slow", "slower"]
            found = await store.claim_deliveries(limit=9, lease_s=60.0, skip_rules=skip)
            assert [delivery.rule for delivery in found] == ["quick"] * 2
            assert await store.claim_deliveries(limit=9, lease_s=60.0, skip_rules=skip) == []
            rest = await store.claim_deliveries(limit=3, lease_s=60.0)
        assert [delivery.rule for delivery in rest] == ["slow", "slow", "slower"]
