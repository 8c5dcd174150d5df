"""Carry out the switch: check an executor, then move the pointer, or leave everything as it was.

What a check looks at is `preflight.py`; opening and closing is `executors.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from flowdapt.domain.addresses import without_slash
from flowdapt.domain.errors import Conflict, InvalidInput
from flowdapt.domain.executor_names import BACK, kind_of_scheme
from flowdapt.domain.executor_profile import Checked, ExecutorProfile, Switched, SwitchRequest
from flowdapt.domain.finding import Finding
from flowdapt.services.preflight import passed, preflight
from flowdapt.services.profiles import no_executor

if TYPE_CHECKING:
    from flowdapt.ports.store import Store
    from flowdapt.services.executors import Executors, Trial

__all__ = ["Switch"]

_NAME_MAX_CHARS = 100
_SAME_NAMES_MAX = 100


class Switch:
    """Checks executors and switches between them, one switch at a time."""

    def __init__(self, *, store: Store, executors: Executors) -> None:
        self._store = store
        self._executors = executors
        self._turn = trio.Lock()

    async def check(self, name: str) -> Checked:
        """Open the executor if it is closed, and look at it; `-` is the one before.

        Raise NotFound, Conflict (there is no one before).
        """
        began = trio.current_time()
        if name == BACK:
            await self._executors.refresh()
        profile = await self._known(name)
        name = profile.name
        async with self._executors.trial(profile) as trial:
            findings = await self._findings(name, trial, again=f"flowdapt executor check {name}")
            trial.passed = passed(findings)
        return Checked(
            name=name,
            passed=passed(findings),
            findings=findings,
            took_s=round(trio.current_time() - began, 3),
        )

    async def switch(self, request: SwitchRequest) -> Switched:
        """Check what is asked for and make it the active executor, or tell why not.

        Raise NotFound, InvalidInput (a risky address, wrong options), Conflict (there is no way
        back; somebody else has switched meanwhile). A failed check is an answer.
        """
        began = trio.current_time()
        async with self._turn:
            await self._executors.refresh()
            profile = await self._profile(request)
            before = self._executors.profiles.pointer
            async with self._executors.trial(profile) as trial:
                again = f"flowdapt use {request.name}"
                findings = await self._findings(profile.name, trial, again=again)
                moves = trial.is_open and (request.keep_going or passed(findings))
                if moves:
                    await self._executors.move(profile, if_revision=before.revision)
                trial.passed = moves
        return await self._switched(findings, moved=moves, began=began)

    async def _switched(
        self, findings: Sequence[Finding], *, moved: bool, began: float
    ) -> Switched:
        pointer = self._executors.profiles.pointer
        pinned = await self._store.count_pinned()
        return Switched(
            switched=moved,
            active=pointer.name,
            previous=pointer.previous,
            pinned={name: runs for name, runs in pinned.items() if name != pointer.name},
            findings=list(findings),
            took_s=round(trio.current_time() - began, 3),
        )

    async def _findings(self, name: str, trial: Trial, *, again: str) -> list[Finding]:
        """Look at an executor; `again` is what a person types to have it looked at once more."""
        began, was_open = trio.current_time(), trial.is_open
        trouble = await trial.opened()
        if trouble is not None:
            return [_not_opened(trouble, again)]
        took_s = trio.current_time() - began
        words = "it is open" if was_open else f"it opened in {took_s:.1f} s"
        opened = Finding(what="open", level="ok", words=words)
        return [opened, *await preflight(name, trial.executor, self._store)]

    # -- what is asked for -----------------------------------------------------------------------

    async def _profile(self, request: SwitchRequest) -> ExecutorProfile:
        if "://" in request.name:
            return await self._of_address(without_slash(request.name), insecure=request.insecure)
        return await self._known(request.name)

    async def _known(self, name: str) -> ExecutorProfile:
        if name == BACK:
            return self._executors.profiles.get(self._previous())
        if not await self._executors.exists(name):
            raise no_executor(name, self._executors.names())
        return self._executors.profiles.get(name)

    def _previous(self) -> str:
        previous = self._executors.profiles.pointer.previous
        if previous is None:
            raise Conflict(
                f"there is no executor before {self._executors.active!r}",
                code="executor.no_way_back",
                fix="flowdapt use NAME",
            )
        return previous

    async def _of_address(self, address: str, *, insecure: bool) -> ExecutorProfile:
        """Return the profile of an address: the stored one, or a new one that is not stored yet."""
        kind = _kind_of(address)
        options: dict[str, object] = {"address": address}
        if insecure:
            options["insecure"] = True
        await self._executors.profiles.validate(kind, options)
        base = _name_of(kind, address)
        known = {profile.name: profile for profile in self._executors.profiles.list_()}
        for number in range(1, _SAME_NAMES_MAX):
            name = base if number == 1 else f"{base}-{number}"
            old = known.get(name)
            if old is None:
                return ExecutorProfile(name=name, kind=kind, options=options)
            if (old.kind, old.options) == (kind, options):
                return old
        raise Conflict(
            f"{_SAME_NAMES_MAX} executors are named like {base!r}",
            code="executor.exists",
            fix="flowdapt executor rm NAME",
        )


def _kind_of(address: str) -> str:
    """Return the kind of executor that an address means. Raise InvalidInput when it is none."""
    scheme, _, place = address.partition("://")
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if not host or not place or re.search(r"\s", address):
        raise InvalidInput(
            f"{address[:200]!r} is no address",
            code="executor.bad_address",
            fix="write dask://HOST:PORT, tls://HOST:PORT or ray://HOST:PORT",
        )
    return kind_of_scheme(scheme)


def _name_of(kind: str, address: str) -> str:
    parts = urlsplit(address)
    place = f"{parts.hostname}-{parts.port}" if parts.port else str(parts.hostname)
    plain = re.sub(r"[^a-z0-9]+", "-", f"{kind}-{place}".lower())
    return plain.strip("-")[:_NAME_MAX_CHARS]


def _not_opened(trouble: str, again: str) -> Finding:
    return Finding(
        what="open",
        level="failed",
        words=trouble,
        code="executor.unavailable",
        fix=f"start the cluster, or correct its address, then  {again}",
    )
