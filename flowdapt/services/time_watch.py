"""Watch the instants of rules: fire what is due, make up for what was missed, notice a clock that jumps."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog
import trio

from flowdapt.domain.events import CLOCK_JUMPED, EventDraft
from flowdapt.domain.fire import FireState, NewFire
from flowdapt.domain.firing import Missed, RuleClock, decide
from flowdapt.services.planning import Cause
from flowdapt.services.rulebook import Armed
from flowdapt.services.watching import POLL_S, Watch

__all__ = ["TimeWatch"]

log = structlog.get_logger(__name__)

# How far the wall clock may part from the monotonic one before that is told.
_JUMP_S = 60.0


class TimeWatch:
    """Fires schedules and intervals. Sleeps a few seconds at most, on the monotonic clock."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def run(self) -> None:
        """Watch until cancelled."""
        wall, elapsed = self._watch.clock.now(), self._watch.clock.monotonic()
        refresh_at = elapsed + POLL_S
        while True:
            changed = self._watch.changed
            with trio.move_on_after(self._until_next()):
                await changed.wait()
            now, since = self._watch.clock.now(), self._watch.clock.monotonic()
            await self._tell_of_jump((now - wall).total_seconds() - (since - elapsed))
            wall, elapsed = now, since
            if elapsed >= refresh_at:
                refresh_at = elapsed + POLL_S
                await self._watch.tolerate("rules", self._watch.refresh)
            if self._watch.draining:
                continue
            for armed in self._watch.book.take_due(now):
                await self._look(armed)

    def _until_next(self) -> float:
        at = None if self._watch.draining else self._watch.book.next_at()
        if at is None:
            return POLL_S
        return min(max((at - self._watch.clock.now()).total_seconds(), 0.0), POLL_S)

    async def _tell_of_jump(self, seconds: float) -> None:
        if abs(seconds) < _JUMP_S:
            return
        log.warning("the clock jumped", seconds=round(seconds, 3))
        data = f'{{"seconds":{seconds:.3f}}}'
        draft = EventDraft(CLOCK_JUMPED, "clock", data)

        async def tell() -> None:
            await self._watch.store.add_event(draft)

        await self._watch.tolerate("clock", tell)

    async def _look(self, armed: Armed) -> None:
        """Fire what is due of a rule; look again later whatever happens."""
        if self._watch.draining:
            # Taken a moment before: it stays due.
            self._watch.book.look_again(armed, self._watch.clock.now())
            return
        done = await self._watch.tolerate(f"rule {armed.rule.name}", partial(self._fire_due, armed))
        if not done and armed.next_at is None and self._watch.book.find(armed.rule.name) is armed:
            self._watch.book.look_again(armed, self._watch.clock.now() + timedelta(seconds=POLL_S))

    async def _fire_due(self, armed: Armed) -> None:
        times, state = armed.rule.times, armed.state
        assert times is not None
        place = RuleClock(state.generation, state.not_before, state.last_evaluated_at)
        now = self._watch.clock.now()
        spec = armed.rule.spec
        due = decide(times, place, now, catch_up=spec.catch_up, grace_s=spec.misfire_grace)
        if due.missed is not None:
            await self._watch.firing.write(_missed(armed, due.missed))
            armed.evaluated(due.missed.last)
        for slot in due.fire:
            cause = Cause(spec.type, now, scheduled_at=slot.scheduled_at)
            await self._watch.fire(
                armed, cause, "caught_up" if slot.late else None, slot.scheduled_at
            )
            armed.evaluated(slot.scheduled_at)
        armed.evaluated(due.evaluated_to)
        self._watch.book.look_again(armed, due.next_at)


def _missed(armed: Armed, missed: Missed) -> NewFire:
    """Return the one row that tells of slots which are not made up for."""
    return NewFire(
        armed.rule.name,
        armed.rule.revision,
        armed.state.generation,
        armed.rule.spec.type,
        scheduled_at=missed.first,
        state=FireState.MISSED,
        reason="too_late",
        slots=missed.count,
        until=missed.last,
        evaluated_to=missed.last,
    )
