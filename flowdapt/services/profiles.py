"""Decide which executors there are and which is the active one, as far as this daemon knows.

The store says so; here its word is kept, since runs are submitted more often than it changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.errors import Conflict, FlowdaptError, InvalidInput, NotFound
from flowdapt.domain.executor_names import BUILT_IN_PROFILES, LOCAL
from flowdapt.failpoints import failpoint
from flowdapt.logs import get_log
from flowdapt.ports.profiles import FIRST_CHOICE, ActiveExecutor

if TYPE_CHECKING:
    from flowdapt.domain.executor_profile import ExecutorProfile, NewProfile
    from flowdapt.ports.kinds import Kinds
    from flowdapt.ports.store import Store

__all__ = ["Profiles", "no_executor"]

log = get_log("flowdapt.executors")


def no_executor(name: str, known: Collection[str] = ()) -> NotFound:
    """Return the refusal of a name that no executor has, with the known one that is near it."""
    from difflib import get_close_matches

    near = get_close_matches(name[:128], known, 1)
    return NotFound(
        f"there is no executor {name[:128]!r}",
        code="executor.not_found",
        fix=f"did you mean {near[0]!r}?" if near else "flowdapt executor ls",
    )


class Profiles:
    """The profiles, stored and built in, and the pointer to the active one.

    Models are imported when somebody asks for more than the local executor.
    """

    def __init__(self, store: Store, find_kinds: Callable[[], Kinds]) -> None:
        self._store = store
        self._find_kinds = find_kinds
        self._stored: dict[str, ExecutorProfile] = {}
        self.pointer: ActiveExecutor = FIRST_CHOICE

    async def read(self) -> None:
        """Read them anew; a store that does not answer changes nothing."""
        try:
            pointer = await self._store.active_executor()
            profiles = await self._store.list_profiles()
        except FlowdaptError as error:
            log.warning("executor profiles could not be read", reason=error.message)
            return
        self._stored = {profile.name: profile for profile in profiles}
        # Another read, begun earlier, may end later.
        if pointer.revision >= self.pointer.revision:
            self.pointer = pointer

    def knows(self, name: str) -> bool:
        return name == LOCAL or name in self._stored or name in self._built_in()

    def names(self) -> Collection[str]:
        """Return the names of all."""
        return {*self._built_in(), *self._stored}

    def is_stored(self, name: str) -> bool:
        return name in self._stored

    def _built_in(self) -> Mapping[str, str]:
        there = {LOCAL, *self._find_kinds().names()}
        return {name: kind for name, kind in BUILT_IN_PROFILES.items() if kind in there}

    def get(self, name: str) -> ExecutorProfile:
        """Return a profile, stored or built in. Raise NotFound."""
        from flowdapt.domain.executor_profile import ExecutorProfile

        if name in self._stored:
            return self._stored[name]
        kind = self._built_in().get(name)
        if kind is None:
            raise no_executor(name, self.names())
        return ExecutorProfile(name=name, kind=kind)

    def list_(self) -> list[ExecutorProfile]:
        """Return all profiles, by name."""
        return [self.get(name) for name in sorted(self.names())]

    async def add(self, new: NewProfile) -> ExecutorProfile:
        """Store a profile, its options checked. Raise InvalidInput, Conflict (`executor.exists`)."""
        from flowdapt.domain.executor_profile import ExecutorProfile

        await self.validate(new.kind, new.options)
        profile = ExecutorProfile(name=new.name, kind=new.kind, options=new.options)
        # What is stored must be known here, whoever stops waiting for it.
        with trio.CancelScope(shield=True):
            stored = await self._store.add_profile(profile)
            self._stored[new.name] = stored
        return stored

    async def validate(self, kind: str, options: Mapping[str, Any]) -> None:
        """Raise InvalidInput when no profile can be made of these."""
        if not _is_json(options):
            raise InvalidInput("the options are not JSON", code="executor.invalid_options")
        kinds = self._find_kinds()
        try:
            await kinds.validate(kind, options)
        except InvalidInput as error:
            if "insecure" in options:
                raise
            await _refuse_the_rest(kinds, kind, options, error)
            raise InvalidInput(
                error.message,
                code="executor.insecure",
                fix="give it what is missing, or allow it as it is with --insecure",
                problems=error.problems,
            ) from None

    async def remove(self, name: str) -> None:
        """Delete a stored profile. Raise NotFound; Conflict when it is built in or in use."""
        if name not in self._stored and name in self._built_in():
            raise Conflict(
                f"executor {name!r} is built in and stays",
                code="executor.built_in",
                fix="flowdapt executor ls",
            )
        with trio.CancelScope(shield=True):
            await self._store.remove_profile(name)
            self._stored.pop(name, None)

    async def move(self, profile: ExecutorProfile, *, if_revision: int) -> None:
        """Make it the active one, stored along when it is new. Raise StaleRevision, NotFound, Conflict."""
        new = None if self.knows(profile.name) else profile
        with trio.CancelScope(shield=True):
            failpoint("switch.before_store")
            self.pointer = await self._store.switch_executor(
                profile.name, if_revision=if_revision, add=new
            )
            failpoint("switch.after_store")
            if new is not None:
                self._stored[new.name] = new


async def _refuse_the_rest(
    kinds: Kinds, kind: str, options: Mapping[str, Any], first: InvalidInput
) -> None:
    """Raise what is wrong besides options that are not safe: no `insecure` helps against it."""
    try:
        await kinds.validate(kind, {**options, "insecure": True})
    except InvalidInput as error:
        # A kind without such an option has nothing that is unsafe.
        unknown = any(problem.loc == ("options", "insecure") for problem in error.problems)
        raise (first if unknown else error) from None


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool | int)
