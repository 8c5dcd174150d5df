"""Write and read executor profiles and the pointer to the active executor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowdapt.domain.executor_facts import executor_added, executor_removed, executor_switched
from flowdapt.domain.executor_names import BUILT_IN_PROFILES
from flowdapt.ports.profiles import FIRST_CHOICE, ActiveExecutor
from flowdapt.stores import prepared as sql
from flowdapt.stores import refusals
from flowdapt.stores.journal import write_own
from flowdapt.stores.links import Row, Tx
from flowdapt.stores.records import moment

if TYPE_CHECKING:
    from flowdapt.domain.executor_profile import ExecutorProfile

__all__ = ["active", "add", "count_pinned", "find", "list_", "remove", "switch"]

# Whoever holds it adds, removes or switches alone: each of them looks at what the others write.
_PROFILES = "executor profiles"


def list_(tx: Tx) -> list[ExecutorProfile]:
    return [_from_row(row) for row in tx.all(sql.LIST_PROFILES)]


def find(tx: Tx, name: str) -> ExecutorProfile | None:
    row = tx.one(sql.GET_PROFILE, (name,))
    return None if row is None else _from_row(row)


def _from_row(row: Row) -> ExecutorProfile:
    from flowdapt.domain.executor_profile import ExecutorProfile

    name, kind, options, created_at = row
    return ExecutorProfile(
        name=name, kind=kind, options=json.loads(options), created_at=moment(created_at)
    )


def add(tx: Tx, profile: ExecutorProfile) -> ExecutorProfile:
    """Store a profile whose name is free."""
    tx.lock(_PROFILES)
    if profile.name in BUILT_IN_PROFILES or find(tx, profile.name) is not None:
        raise refusals.profile_exists(profile.name)
    return _insert(tx, profile)


def _insert(tx: Tx, profile: ExecutorProfile) -> ExecutorProfile:
    now = tx.now()
    tx.run(
        sql.INSERT_PROFILE,
        (profile.name, profile.kind, json.dumps(profile.options, sort_keys=True), now),
    )
    write_own(tx, [executor_added(profile.name, profile.kind)])
    return profile.model_copy(update={"created_at": moment(now)})


def remove(tx: Tx, name: str) -> None:
    """Delete a profile that nothing needs."""
    tx.lock(_PROFILES)
    profile, pointer = find(tx, name), active(tx)
    if profile is None:
        raise refusals.no_profile(name)
    runs = count_pinned(tx).get(name, 0)
    if pointer.name == name or runs:
        raise refusals.profile_in_use(name, active=pointer.name == name, runs=runs)
    tx.run(sql.DELETE_PROFILE, (name,))
    if pointer.previous == name:
        _put(tx, ActiveExecutor(pointer.name, None, pointer.revision))
    write_own(tx, [executor_removed(name, profile.kind)])


def active(tx: Tx) -> ActiveExecutor:
    row = tx.one(sql.GET_ACTIVE)
    return FIRST_CHOICE if row is None else ActiveExecutor(*row)


def _put(tx: Tx, pointer: ActiveExecutor) -> None:
    tx.run(sql.PUT_ACTIVE, (1, pointer.name, pointer.previous, pointer.revision))


def switch(tx: Tx, name: str, if_revision: int, new: ExecutorProfile | None) -> ActiveExecutor:
    """Move the pointer, if it still stands where the caller saw it."""
    tx.lock(_PROFILES)
    before = active(tx)
    if before.revision != if_revision:
        raise refusals.switched_meanwhile(before.name)
    coming = new is not None and new.name == name
    if not (coming or name in BUILT_IN_PROFILES or find(tx, name) is not None):
        raise refusals.no_profile(name)
    if new is not None:
        _ensure(tx, new)
    if name == before.name:
        return before
    after = ActiveExecutor(name, before.name, before.revision + 1)
    _put(tx, after)
    write_own(tx, [executor_switched(name, before.name)])
    return after


def _ensure(tx: Tx, new: ExecutorProfile) -> None:
    old = find(tx, new.name)
    if old is None and new.name not in BUILT_IN_PROFILES:
        _insert(tx, new)
    elif old is None or (old.kind, old.options) != (new.kind, new.options):
        raise refusals.profile_exists(new.name)


def count_pinned(tx: Tx) -> Mapping[str, int]:
    return {str(row[0]): int(row[1]) for row in tx.all(sql.COUNT_PINNED)}
