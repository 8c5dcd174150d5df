"""Hold the store and the files of the newest runs against what must be true of them: `doctor`."""

from __future__ import annotations

from contextlib import suppress

from flowdapt.domain.errors import NotFound
from flowdapt.domain.task import ValueRef
from flowdapt.ports.store import RunFilter, Store
from flowdapt.ports.values import ValueStore

__all__ = ["CHECKED_RUNS", "find_problems"]

# Files are read whole for their hash: what people look at is checked, not the whole archive.
CHECKED_RUNS = 200


async def find_problems(store: Store, values: ValueStore) -> list[str]:
    """Return every broken invariant in words; empty when all hold."""
    problems = await store.check()
    page = await store.list_runs(RunFilter(), limit=CHECKED_RUNS)
    for run in page.items:
        # Retention may delete it meanwhile.
        with suppress(NotFound):
            damage = await values.damage(await _values_of(store, run.uid))
            problems += [f"run {run.name}: {words}" for words in damage]
    return problems


async def _values_of(store: Store, uid: str) -> list[ValueRef]:
    loaded = await store.load_run(uid)
    found = [loaded.run.input, loaded.run.result]
    found += [stage.result for stage in loaded.stages]
    found += [task.value for task in loaded.tasks if task.state == "finished"]
    return [value for value in found if value is not None and value.kind != "inline"]
