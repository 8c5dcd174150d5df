"""Hand out what is to be done outside the store, and note how it went."""

from __future__ import annotations

from datetime import datetime

from flowdapt.domain.fire import Delivery, DeliveryState
from flowdapt.stores import prepared as sql
from flowdapt.stores.links import Tx
from flowdapt.stores.records import micros

__all__ = ["claim", "end"]


def claim(tx: Tx, limit: int, lease_s: float) -> list[Delivery]:
    """Take due deliveries until the lease ends."""
    until = tx.now() + int(lease_s * 1_000_000)
    taken = []
    for number, rule, fire, action, parameters, occasion, attempt in tx.all(
        sql.DUE_DELIVERIES, (tx.now(), limit)
    ):
        tx.run(sql.TAKE_DELIVERY, (until, number))
        taken.append(Delivery(number, rule, fire, action, parameters, occasion, attempt + 1))
    return taken


def end(
    tx: Tx, number: int, state: DeliveryState, error: str | None, again_at: datetime | None
) -> None:
    """Note how a try ended."""
    next_at = tx.now() if again_at is None else micros(again_at)
    tx.run(sql.END_DELIVERY, (state.value, next_at, error, number))
