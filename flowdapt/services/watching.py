"""Hold what the watches of a trigger service share: the rules, the way to fire, what a failure means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

import structlog
import trio

from flowdapt.domain.errors import FlowdaptError, StaleRule
from flowdapt.domain.fire import FireState
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Store
from flowdapt.services.firing import Firing
from flowdapt.services.planning import Cause
from flowdapt.services.rulebook import Armed, Rulebook

__all__ = ["POLL_S", "Watch"]

log = structlog.get_logger(__name__)

# What a lost hint would have told is found by then.
POLL_S: Final = 5.0


class Watch:
    """One trigger service's view of its rules. `changed` is set, and a new one made, when they change.

    `report` is told what is wrong with rules, None when nothing is.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        firing: Firing,
        report: Callable[[str | None], None],
    ) -> None:
        self.store = store
        self.clock = clock
        self.firing = firing
        self.book = Rulebook(store)
        self.changed = trio.Event()
        self.draining = False
        self._report = report

    async def refresh(self) -> None:
        """Read the rules anew when the journal tells of a change."""
        if await self.book.refresh():
            self._read_again()

    async def read_anew(self) -> None:
        """Read the rules anew, whatever the journal tells."""
        await self.book.refresh(at_once=True)
        self._read_again()

    def _read_again(self) -> None:
        self._report(_trouble(self.book.broken))
        self.wake()

    def wake(self) -> None:
        """Have every watch look again."""
        self.changed.set()
        self.changed = trio.Event()

    async def tolerate(self, what: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Do the work; what fails is done again at the next look. Return whether it was done."""
        try:
            try:
                await work()
            except StaleRule:
                await self.read_anew()
                return False
        except FlowdaptError as error:
            log.warning("triggers wait", what=what, reason=error.message)
            return False
        except Exception:  # a bug met by one rule must not silence the others
            log.exception("a trigger failed", what=what)
            return False
        return True

    async def fire(
        self, armed: Armed, cause: Cause, reason: str | None, evaluated_to: datetime | None
    ) -> None:
        """Fire a rule once. Raise StaleRule when it changed meanwhile, Unavailable."""
        fired = await self.firing.fire(
            armed.rule,
            armed.state.generation,
            cause,
            reason=reason,
            evaluated_to=evaluated_to,
        )
        if fired.fire.state is FireState.FAILED and fired.created:
            log.warning("a trigger could not start", rule=armed.rule.name, reason=fired.fire.error)
        if fired.paused:
            await self.read_anew()


def _trouble(broken: Mapping[str, str]) -> str | None:
    """Return the warning about rules that mean nothing."""
    if not broken:
        return None
    name, reason = next(iter(sorted(broken.items())))
    more = f" ({len(broken) - 1} more: flowdapt trigger ls)" if len(broken) > 1 else ""
    return f"trigger rule {name!r} means nothing: {reason}{more}"
