"""Serve everything a client may ask of runs: submit, look, wait, cancel, retry, explain, delete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from flowdapt.domain.run import Item, Reason, RetryRequest, Run, RunRequest
from flowdapt.ports.store import Page, RunFilter

__all__ = ["Runs"]


class Runs:
    """The requests about runs, answered from the store; drives nothing itself."""

    async def submit(
        self,
        workflow: str,
        request: RunRequest,
        *,
        key: str | None = None,
        source: str = "api",
        wait_s: float = 0.0,
    ) -> tuple[Run, bool]:
        """Store a run durably; return it and whether it is new (False: the key named it).

        With `wait_s` (what `Prefer: wait=` asks) the answer comes when the run is terminal or that
        time is over: the hot path, with no second look-up.
        """
        raise NotImplementedError

    async def get(self, ident: str) -> Run:
        """Return the run with its stages, live item counts, and its result when small JSON."""
        raise NotImplementedError

    async def list_(self, where: RunFilter, *, cursor: str | None = None, limit: int = 50) -> Page[Run]:
        """List runs without stages, input and result."""
        raise NotImplementedError

    async def wait(self, ident: str, *, timeout_s: float) -> Run:
        """Return the run when it is terminal, or as it is when the time is over."""
        raise NotImplementedError

    def watch(self, ident: str) -> AbstractAsyncContextManager[AsyncIterator[Run]]:
        """Yield the run now and after each change (coalesced, <= 10 a second), ending with the terminal one."""
        raise NotImplementedError

    async def cancel(self, ident: str, *, reason: str = "user") -> Run:
        """Ask for the end of a run; idempotent, a terminal run is returned unchanged."""
        raise NotImplementedError

    async def retry(self, ident: str, request: RetryRequest, *, key: str | None = None) -> tuple[Run, bool]:
        """Store a new run whose parent is this (terminal) one."""
        raise NotImplementedError

    async def explain(self, ident: str) -> list[Reason]:
        """Say why the run and its stages are as they are, and what to do."""
        raise NotImplementedError

    async def items(
        self, ident: str, stage: str, *, state: str | None = None, cursor: str | None = None, limit: int = 500
    ) -> Page[Item]:
        """List the items of a mapped stage by index."""
        raise NotImplementedError

    async def result(self, ident: str) -> AsyncIterator[bytes]:
        """Return a stream of the JSON text of the result. Raise Conflict while open, InvalidInput when not JSON."""
        raise NotImplementedError

    async def delete(self, ident: str) -> None:
        """Delete a terminal run whole: rows, logs, values. Raise RunNotTerminal."""
        raise NotImplementedError
