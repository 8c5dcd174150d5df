"""Start the fires that waited for a run of their rule to end, when it is their turn."""

from __future__ import annotations

from functools import partial

from flowdapt.domain.fire import Fire
from flowdapt.services.planning import Cause
from flowdapt.services.watching import POLL_S, Watch

__all__ = ["Turns"]


class Turns:
    """The waiting fires of a trigger service's rules."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._looked_at = 0.0

    def may_come(self) -> bool:
        """Say whether to look for waiting fires; those of rules that are gone are found by the poll."""
        now = self._watch.clock.monotonic()
        if not self._watch.book.has_queues and now - self._looked_at < POLL_S:
            return False
        self._looked_at = now
        return True

    async def take(self) -> None:
        """Start those whose rule has no open run any more; give up those whose rule is not the same."""
        for fire in await self._watch.store.waiting_fires():
            await self._watch.tolerate(f"rule {fire.rule}", partial(self._continue, fire))

    async def _continue(self, fire: Fire) -> None:
        armed = self._watch.book.find(fire.rule)
        if armed is None and fire.kind == "manual":
            armed = self._watch.book.find_idle(fire.rule)
        if armed is None or armed.state.generation != fire.generation:
            await self._watch.store.end_waiting(fire.number, reason="rule_changed")
            return
        cause = await self._cause_again(fire)
        if cause is None:
            await self._watch.store.end_waiting(fire.number, reason="event_gone")
            return
        await self._watch.firing.fire(
            armed.rule, fire.generation, cause, reason="waited", waiting=fire.number
        )

    async def _cause_again(self, fire: Fire) -> Cause | None:
        now = self._watch.clock.now()
        if fire.event_cursor is None:
            return Cause(fire.kind, now, scheduled_at=fire.scheduled_at)
        found = await self._watch.store.list_events(after=fire.event_cursor - 1, limit=1)
        # A fire by hand names no event by id: it may be repeated.
        if not found or fire.event_id not in (None, found[0].id):
            return None
        cause = Cause.of_event(found[0], now)
        return cause if fire.event_id is not None else cause.by_hand()
