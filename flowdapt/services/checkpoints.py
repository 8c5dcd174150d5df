"""Have large results, which so far only the executor has, written to files while their dependants go on.

What a crash of the executor costs is decided here: what is stored is never made again. Which results
are stored before their stage counts as finished is decided in `calls.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

import structlog
import trio

from flowdapt.domain.errors import FlowdaptError, MissingObject
from flowdapt.domain.records import StageRecord
from flowdapt.domain.run import StageState
from flowdapt.domain.task import ValueRef
from flowdapt.domain.workflow import StageSpec
from flowdapt.services.dispatch import Dispatcher

__all__ = ["Checkpoints"]

log = structlog.get_logger(__name__)

# Writing competes with the stages for the network and the disk.
_AT_ONCE = 2


class Checkpoints:
    """The results of one run that are being stored. `wake` is called when one is."""

    def __init__(
        self,
        run: str,
        epoch: int,
        specs: Mapping[str, StageSpec],
        dispatcher: Dispatcher,
        wake: Callable[[], None],
    ) -> None:
        self._prefix = run
        self._epoch = epoch
        self._specs = specs
        self._dispatcher = dispatcher
        self._wake = wake
        self._limiter = trio.CapacityLimiter(_AT_ONCE)
        self._open = 0
        self.stored: deque[tuple[str, ValueRef, ValueRef]] = deque()

    @property
    def busy(self) -> bool:
        """Say whether a result is being stored, or was and nobody has taken note."""
        return bool(self._open or self.stored)

    def look(self, records: Iterable[StageRecord], nursery: trio.Nursery) -> None:
        """Begin to store what of these stages only the executor has."""
        for record in records:
            ref = record.result
            if (
                record.state is StageState.FINISHED
                and ref is not None
                and ref.kind == "cluster"
                and self._specs[record.name].checkpoint != "never"
            ):
                self._open += 1
                name = f"{self._prefix}/{record.name}.{record.attempt}.{self._epoch}"
                nursery.start_soon(self._store, record.name, ref, name)

    async def _store(self, stage: str, ref: ValueRef, name: str) -> None:
        try:
            async with self._limiter:
                stored = await self._dispatcher.executor.store(ref, name)
            self.stored.append((stage, ref, stored))
        except MissingObject:
            pass  # whoever needs it finds out, and has it made again
        except (FlowdaptError, OSError) as error:
            log.warning("a result could not be stored", run=self._prefix, stage=stage, error=error)
        finally:
            self._open -= 1
            self._wake()
