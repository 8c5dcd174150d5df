"""The half of the SQL store that triggers need: each promise of `TriggerStore` on a lane."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from flowdapt.domain.fire import Delivery, DeliveryState, Fire, Fired, NewFire, RuleState
from flowdapt.ports.store import Page
from flowdapt.ports.triggers import TriggerStore
from flowdapt.stores import deliveries, fires, journal, rules, submitting
from flowdapt.stores.lanes import WriterLane
from flowdapt.stores.reader_lane import ReaderLane
from flowdapt.stores.records import micros
from flowdapt.stores.texts import Texts

__all__ = ["SqlTriggers"]


class SqlTriggers(TriggerStore):
    """Rules, fires, deliveries and places in the journal."""

    _writer: WriterLane
    _reader: ReaderLane
    _texts: Texts
    _backlog: submitting.Backlog

    async def list_rule_states(self) -> Mapping[str, RuleState]:
        return await self._reader.read(rules.list_states)

    async def begin_generation(
        self, rule: str, *, signature: str, not_before: datetime
    ) -> RuleState:
        return await self._writer.write(
            lambda tx: rules.begin_generation(tx, rule, signature, not_before), durable=True
        )

    async def pause_rule(self, rule: str, *, reason: str) -> RuleState:
        return await self._writer.write(lambda tx: rules.pause(tx, rule, reason), durable=True)

    async def resume_rule(self, rule: str) -> RuleState:
        return await self._writer.write(lambda tx: rules.resume(tx, rule), durable=True)

    async def fire(self, new: NewFire) -> Fired:
        return await self._writer.write(
            lambda tx: fires.fire(tx, self._texts, self._backlog, new), durable=True
        )

    async def end_waiting(self, number: int, *, reason: str) -> bool:
        return await self._writer.write(
            lambda tx: fires.end_waiting(tx, number, reason), durable=True
        )

    async def list_fires(
        self,
        *,
        rule: str | None = None,
        states: Sequence[str] = (),
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Fire]:
        return await self._reader.read(lambda tx: fires.list_fires(tx, rule, states, cursor, limit))

    async def waiting_fires(self) -> list[Fire]:
        return await self._reader.read(fires.waiting_fires)

    async def claim_deliveries(
        self, *, limit: int, lease_s: float, skip_rules: Collection[str] = ()
    ) -> list[Delivery]:
        return await self._writer.write(
            lambda tx: deliveries.claim(tx, limit, lease_s, skip_rules), durable=False
        )

    async def end_delivery(
        self, number: int, state: DeliveryState, *, error: str | None, again_at: datetime | None
    ) -> None:
        await self._writer.write(
            lambda tx: deliveries.end(tx, number, state, error, again_at), durable=True
        )

    async def get_cursor(self, consumer: str) -> int | None:
        return await self._reader.read(lambda tx: journal.get_cursor(tx, consumer))

    async def move_cursor(self, consumer: str, cursor: int) -> None:
        await self._writer.write(
            lambda tx: journal.move_cursor(tx, consumer, cursor), durable=False
        )

    async def newest_cursor(self, *, before: datetime | None = None) -> int:
        since = micros(before)
        return await self._reader.read(lambda tx: journal.newest_cursor(tx, since))
