"""The parts of the blocking client: `client.runs`, `.resources`, `.triggers`, `.artifacts` and so on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints import artifacts as artifact_calls
from flowdapt.client.endpoints import resources as resource_calls
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.client.endpoints import system as system_calls
from flowdapt.client.endpoints import triggers as trigger_calls
from flowdapt.client.repeating import WAIT_STEP_S, new_key
from flowdapt.domain.errors import TimedOut
from flowdapt.domain.fire import Fire
from flowdapt.domain.resource import Applied, Outlook, Resource
from flowdapt.domain.run import Item, Reason, Run
from flowdapt.domain.trigger_views import TriggerStatus, TriggerTest
from flowdapt.ports.store import Page

if TYPE_CHECKING:
    from flowdapt.client.client import Client

__all__ = ["Artifacts", "Resources", "Runs", "Secrets", "Triggers"]


class _Part:
    """The calls about one thing, on a client."""

    def __init__(self, client: Client) -> None:
        self._client = client


class Runs(_Part):
    """`client.runs`: an `ident` is a uid, a name, or a unique prefix of either."""

    def list(
        self,
        *,
        state: Sequence[str] = (),
        workflow: str | None = None,
        namespace: str | None = None,
        since: datetime | None = None,
        q: str | None = None,
        trigger: str | None = None,
        sort: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Run]:
        """List a page of runs, newest first, without stages, input and result."""
        call = run_calls.list_(
            state=state, workflow=workflow, namespace=namespace, since=since,
            q=q, trigger=trigger, sort=sort, cursor=cursor, limit=limit,
        )  # fmt: skip
        return self._client.ask(call)

    def get(self, ident: str) -> Run:
        """Return the run with its stages. Raise NotFound; Conflict when a prefix means several."""
        return self._client.ask(run_calls.get(ident))

    def wait(self, ident: str, *, timeout: float | None = None) -> Run:
        """Return the run when it has ended; raise TimedOut after `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = WAIT_STEP_S if until is None else until - time.monotonic()
            run = self._client.ask(
                run_calls.wait(ident, timeout_s=max(0.0, min(left, WAIT_STEP_S)))
            )
            if run.state.terminal:
                return run
            if left <= 0:
                raise TimedOut(
                    f"{run.name} is still {run.state} after {timeout:g} s; it goes on",
                    fix=f"flowdapt runs wait {run.name}",
                )

    def watch(self, ident: str) -> Iterator[Run]:
        """Yield the run now, after each change (at most ten a second), and when it has ended."""
        return self._client.follow(run_calls.watch(ident), until=lambda run: run.state.terminal)

    def cancel(self, ident: str) -> Run:
        """Ask for the end of a run; one that has ended is returned unchanged."""
        return self._client.ask(run_calls.cancel(ident))

    def retry(
        self,
        ident: str,
        *,
        start_from: str | None = None,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the documents
        executor: str | None = None,
        key: str | None = None,
    ) -> Run:
        """Start a new run from this one: from what failed, or from `start` or a stage."""
        given = {"start_from": start_from, "input": input, "executor": executor}
        body = {name: value for name, value in given.items() if value is not None}
        return self._client.ask(run_calls.retry(ident, body, key=key or new_key()))

    def result(self, ident: str) -> Any:
        """Return the result's JSON value; Conflict while the run is open."""
        return json.loads(self._client.ask(run_calls.result(ident)))

    def explain(self, ident: str) -> Sequence[Reason]:
        """Say why the run and its stages are as they are, and what to do."""
        return self._client.ask(run_calls.explain(ident))

    def items(
        self, ident: str, stage: str, *, state: str | None = None, cursor: str | None = None
    ) -> Page[Item]:
        """List a page of a mapped stage's items: pending, retrying, finished or failed ones."""
        return self._client.ask(run_calls.items(ident, stage, state=state, cursor=cursor))

    def logs(
        self,
        ident: str,
        *,
        stage: str | None = None,
        level: str | None = None,
        grep: str | None = None,
        after: int = 0,
        tail: bool = False,
        limit: int | None = None,
    ) -> dict[str, Any]:
        """Read log lines: `{"items": […], "next_after": …}`; `grep` searches the whole log."""
        call = run_calls.logs(
            ident, stage=stage, level=level, grep=grep, after=after, tail=tail, limit=limit
        )
        return self._client.ask(call)

    def metrics(self, ident: str, *, stage: str | None = None) -> Sequence[dict[str, Any]]:
        """Return the series that stages recorded with `metric(name, value, step)`."""
        return self._client.ask(run_calls.metrics(ident, stage=stage))

    def delete(self, ident: str) -> None:
        """Delete a run that has ended: rows, logs, values."""
        self._client.ask(run_calls.delete(ident))


class Resources(_Part):
    """`client.resources`: kinds are `workflow`, `config`, `trigger_rule`."""

    def list(
        self,
        kind: str,
        *,
        q: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Resource]:
        """List a page of a kind's resources by name; `q` is part of the name."""
        return self._client.ask(resource_calls.list_(kind, q=q, cursor=cursor, limit=limit))

    def get(self, kind: str, name: str, *, revision: int | None = None) -> Resource:
        """Return a resource as it is, or as it was at a revision. Raise NotFound."""
        return self._client.ask(resource_calls.get(kind, name, revision=revision))

    def revisions(self, kind: str, name: str, *, cursor: str | None = None) -> Page[Resource]:
        """List a page of a resource's revisions, newest first."""
        return self._client.ask(resource_calls.revisions(kind, name, cursor=cursor))

    def delete(self, kind: str, name: str, *, if_revision: int | None = None) -> Applied:
        """Delete a resource; raise StaleRevision when it is no more at `if_revision`."""
        return self._client.ask(resource_calls.delete(kind, name, if_revision=if_revision))


class Triggers(_Part):
    """`client.triggers`: rules that start workflows; their documents are `client.resources`.

    An `event` is a mapping as conditions see it, or the cursor or the id of one in the journal.
    """

    def list(
        self, *, q: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[TriggerStatus]:
        """List a page of rules at a glance, by name; `q` is part of the name."""
        return self._client.ask(trigger_calls.list_(q=q, cursor=cursor, limit=limit))

    def status(self, name: str) -> TriggerStatus:
        """Return a rule at a glance: in words, its state, next instant, last decision. Raise NotFound."""
        return self._client.ask(trigger_calls.status(name))

    def next(self, name: str, count: int = 5) -> Outlook:
        """Return the next instants of a rule of time, 1,000 at most. Raise Conflict for a condition."""
        return self._client.ask(trigger_calls.next_(name, count=count))

    def fires(
        self,
        name: str,
        *,
        state: Sequence[str] = (),
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Fire]:
        """List a page of what a rule has decided, newest first."""
        return self._client.ask(trigger_calls.fires(name, state=state, cursor=cursor, limit=limit))

    def fire(self, name: str, *, event: Mapping[str, Any] | int | str | None = None) -> Fire:
        """Fire by hand; what could not start is returned as a failed or skipped fire, not raised."""
        return self._client.ask(trigger_calls.fire(name, event=event))

    def pause(self, name: str, *, reason: str | None = None) -> TriggerStatus:
        """Keep a rule from firing by itself; a paused one keeps its reason."""
        return self._client.ask(trigger_calls.pause(name, reason=reason))

    def resume(self, name: str) -> TriggerStatus:
        """Let a rule go on from now; what lies before is not made up for."""
        return self._client.ask(trigger_calls.resume(name))

    def test(self, name: str, *, event: Mapping[str, Any] | int | str | None = None) -> TriggerTest:
        """Say whether a rule would fire, clause by clause, and with what; change nothing."""
        return self._client.ask(trigger_calls.try_(name, event=event))


class Artifacts(_Part):
    """`client.artifacts`: named files with metadata, per namespace."""

    def list(self, namespace: str = "default") -> Sequence[dict[str, Any]]:
        """Return name, number of files, size in bytes and time of each artifact."""
        return self._client.ask(artifact_calls.list_(namespace))

    def get(self, name: str, file: str, *, namespace: str = "default") -> bytes:
        """Return the bytes of a file. Raise MissingArtifact."""
        return self._client.ask(artifact_calls.get(name, file, namespace=namespace))

    def put(self, name: str, file: str, content: bytes, *, namespace: str = "default") -> None:
        """Store a file whole or not at all; the artifact is made when there is none."""
        self._client.ask(artifact_calls.put(name, file, content, namespace=namespace))

    def delete(self, name: str, file: str | None = None, *, namespace: str = "default") -> None:
        """Delete one file, or the artifact with all its files."""
        self._client.ask(artifact_calls.delete(name, file, namespace=namespace))

    def preview(self, name: str, file: str, *, namespace: str = "default") -> dict[str, Any]:
        """Say what a file holds without decoding it: format, size, head of a text."""
        return self._client.ask(artifact_calls.preview(name, file, namespace=namespace))


class Secrets(_Part):
    """`client.secrets`: names are listed, values are never given out."""

    def list(self) -> Sequence[dict[str, Any]]:
        """Return the names of secrets, and in which place each is kept."""
        return self._client.ask(system_calls.list_secrets())

    def set(self, name: str, value: str) -> None:
        """Keep a value, in the keyring or in a file that only its owner can read."""
        self._client.ask(system_calls.put_secret(name, value))

    def delete(self, name: str) -> None:
        """Forget a secret."""
        self._client.ask(system_calls.delete_secret(name))
