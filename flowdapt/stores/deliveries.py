"""Hand out what is to be done outside the store, and note how it went."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from flowdapt.domain.fire import Delivery, DeliveryState
from flowdapt.stores import prepared as sql
from flowdapt.stores.asking import Question
from flowdapt.stores.dialects import SQLITE
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.records import micros

__all__ = ["claim", "end"]


_COLUMNS = "id, rule, fire_id, action, parameters, occasion, attempt"


def claim(tx: Tx, limit: int, lease_s: float, skip_rules: Collection[str] = ()) -> list[Delivery]:
    """Take due deliveries until the lease ends."""
    until = tx.now() + int(lease_s * 1_000_000)
    taken = []
    for number, rule, fire, action, parameters, occasion, attempt in _due(tx, limit, skip_rules):
        tx.run(sql.TAKE_DELIVERY, (until, number))
        taken.append(Delivery(number, rule, fire, action, parameters, occasion, attempt + 1))
    return taken


def _due(tx: Tx, limit: int, skip_rules: Collection[str]) -> list[Row]:
    if not skip_rules:
        return tx.all(sql.DUE_DELIVERIES, (tx.now(), limit))
    question = Question(_COLUMNS, "delivery")
    question.where("state = 'pending'")
    question.where("next_at <= ?", tx.now())
    for rule in skip_rules:
        question.where("rule <> ?", rule)
    text, values = question.written(tx.name, "next_at, id", limit)
    return tx.select(text if tx.name == SQLITE else f"{text} FOR UPDATE SKIP LOCKED", values)


def end(
    tx: Tx, number: int, state: DeliveryState, error: str | None, again_at: datetime | None
) -> None:
    """Note how a try ended."""
    next_at = tx.now() if again_at is None else micros(again_at)
    tx.run(sql.END_DELIVERY, (state.value, next_at, error, number))
