"""Decide which slots of a rule are due: on time, made up for, or missed. Knows no clock: `now` is given.

What a fire starts, and that it happens once, is for the store and the trigger service.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from flowdapt.domain.timing import MAX_COUNTED, Times

__all__ = ["CATCH_UP_MAX", "WINDOW_S", "CatchUp", "Due", "Missed", "RuleClock", "Slot", "decide"]

CatchUp = Literal["none", "latest", "all"]
CATCH_UP_MAX = 100
WINDOW_S = 86_400.0
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RuleClock:
    """How far a rule has come. Nothing at or before either instant is fired any more.

    `generation` counts the rule's timings, `not_before` is when this one began, or was resumed.
    """

    generation: int
    not_before: datetime
    last_evaluated_at: datetime

    @property
    def since(self) -> datetime:
        return max(self.not_before, self.last_evaluated_at)


@dataclass(frozen=True, slots=True)
class Slot:
    """One instant to fire for. `late`: it was missed, and is made up for."""

    scheduled_at: datetime
    late: bool


@dataclass(frozen=True, slots=True)
class Missed:
    """The slots from `first` to `last` that are not made up for. `capped`: `count` means at least."""

    count: int
    first: datetime
    last: datetime
    capped: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """What one look at the clock finds: the slots to fire, oldest first, and what was missed.

    `evaluated_to` is to be stored with them; `next_at` is when to look again (it lies in the past when
    more is due at once). `set_back`: the clock shows a time before `evaluated_to`, and nothing is due
    until it has passed that again. That it jumped is for whoever watches it to notice.
    """

    fire: tuple[Slot, ...]
    missed: Missed | None
    evaluated_to: datetime
    next_at: datetime | None
    set_back: bool = False


def decide(
    times: Times,
    clock: RuleClock,
    now: datetime,
    *,
    catch_up: CatchUp,
    grace_s: float,
    window_s: float = WINDOW_S,
    catch_up_max: int = CATCH_UP_MAX,
) -> Due:
    """Decide what is due of a rule.

    A slot is on time for `grace_s` seconds, the end included; later it is missed. Of the missed ones
    `catch_up` makes up for none, the latest, or all of the last `window_s` seconds, the newest
    `catch_up_max` at most; the older ones are told in `missed`. No more than `catch_up_max` on-time
    slots come at once: the next look finds the rest.
    """
    since = clock.since
    if now <= since:
        set_back = now < clock.last_evaluated_at
        return Due((), None, clock.last_evaluated_at, times.after(since), set_back=set_back)
    on_time_from = max(since, _before(now, grace_s) - _TICK)
    on_time = times.between(on_time_from, now, catch_up_max + 1)
    evaluated_to = now
    if len(on_time) > catch_up_max:
        on_time.pop()
        evaluated_to = on_time[-1]
    made_up = _made_up(times, since, on_time_from, now, catch_up, window_s, catch_up_max)
    slots = (*(Slot(at, late=True) for at in made_up), *(Slot(at, late=False) for at in on_time))
    return Due(
        fire=slots,
        missed=_missed(times, since, made_up[0] - _TICK if made_up else on_time_from),
        evaluated_to=evaluated_to,
        next_at=times.after(evaluated_to),
    )


def _made_up(
    times: Times,
    since: datetime,
    until: datetime,
    now: datetime,
    catch_up: CatchUp,
    window_s: float,
    most: int,
) -> list[datetime]:
    """Return the newest missed slots that are to be made up for, oldest first."""
    most = {"none": 0, "latest": min(1, most), "all": most}[catch_up]
    if catch_up == "all":
        since = max(since, _before(now, window_s) - _TICK)
    found: list[datetime] = []
    while len(found) < most and (slot := times.latest(since, until)) is not None:
        found.append(slot)
        until = slot - _TICK
    return found[::-1]


def _missed(times: Times, since: datetime, until: datetime) -> Missed | None:
    last = times.latest(since, until)
    first = times.after(since)
    if last is None or first is None:
        return None
    count = times.count(since, until)
    return Missed(count, first, last, capped=count >= MAX_COUNTED)


def _before(now: datetime, seconds: float) -> datetime:
    """Return an earlier instant, or the first that there is."""
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return _BEGINNING + _TICK
