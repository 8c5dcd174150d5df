"""The blocking client: one method per call of the REST interface, in words of Python.

What a call sends and how its answer is read stands in `endpoints`; here it only travels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from flowdapt.client.endpoints import executors as executor_calls
from flowdapt.client.endpoints import resources as resource_calls
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.client.endpoints import system as system_calls
from flowdapt.client.events import Events
from flowdapt.client.executors import Executors
from flowdapt.client.parts import Artifacts, Resources, Runs, Secrets, Triggers
from flowdapt.client.repeating import WAIT_STEP_S, Repeats, new_key
from flowdapt.client.stream import EventDecoder
from flowdapt.client.transports import HttpxTransport, Transport
from flowdapt.client.wire import Call, ConnectionLost, Feed, Response, error_of
from flowdapt.domain.errors import TimedOut, Unreachable
from flowdapt.domain.executor_profile import Switched
from flowdapt.domain.resource import Applied
from flowdapt.domain.run import Run
from flowdapt.paths import find_paths

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """A connection to one daemon; use it as a context manager, or `close()` it.

    Args:
        server: an http(s) URL or the path of a Unix socket; None finds the local daemon's socket.
        transport: carry requests yourself, in place of httpx.

    Every method raises a kind of `flowdapt.domain.errors.FlowdaptError`: what the daemon refused,
    `Unreachable` when none answers, `TimedOut` when it does not answer in time. A reply that was
    lost is asked for again where that is safe, so a daemon that restarts meanwhile goes unseen.
    """

    def __init__(
        self, server: str | Path | None = None, *, transport: Transport | None = None
    ) -> None:
        address = str(find_paths().socket if server is None else server)
        self._transport = transport or HttpxTransport(address)
        self.runs = Runs(self)
        self.resources = Resources(self)
        self.triggers = Triggers(self)
        self.artifacts = Artifacts(self)
        self.secrets = Secrets(self)
        self.events = Events(self)
        self.executors = Executors(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()

    def run(
        self,
        workflow: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the documents
        *,
        wait: bool = False,
        executor: str | None = None,
        namespace: str = "default",
        labels: Mapping[str, str] | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> Run:
        """Submit a run and return it, with `wait` when it has ended.

        Args:
            workflow: the workflow's name.
            input: values for the parameters of its root stages.
            wait: return the run in its final state; a failed run is returned, not raised.
            executor: the executor profile to use in place of the active one.
            namespace: where its artifacts and cluster memory lie.
            labels: free words to find it by.
            key: the idempotency key; the same key and body name the same run. None makes one.
            timeout: seconds to wait, then TimedOut is raised and the run goes on.
        """
        body: dict[str, Any] = {"input": dict(input or {}), "namespace": namespace}
        body |= {"labels": dict(labels)} if labels else {}
        body |= {"executor": executor} if executor else {}
        first = min(timeout or WAIT_STEP_S, WAIT_STEP_S) if wait else 0.0
        call = run_calls.submit(workflow, body, key=key or new_key(), wait_s=first)
        run = self.ask(call)
        if not wait or run.state.terminal:
            return run
        return self.runs.wait(run.uid, timeout=None if timeout is None else timeout - first)

    def apply(self, documents: str | Sequence[Any], *, dry_run: bool = False) -> list[Applied]:
        """Apply documents, all or none: YAML text, or a list of mappings or resources."""
        return self.ask(resource_calls.apply(documents, dry_run=dry_run))

    def status(self) -> dict[str, Any]:
        """Return what the daemon says of itself."""
        return self.ask(system_calls.status())

    def plugins(self) -> list[dict[str, Any]]:
        """Return the plugins that were found, also those that could not be loaded."""
        return self.ask(system_calls.plugins())

    def use(self, executor: str, *, insecure: bool = False, keep_going: bool = False) -> Switched:
        """Check an executor and run on it from now on; runs that are open stay where they are.

        What a check found is returned, not raised: look at `switched`. Raise NotFound for an unknown
        name, InvalidInput for an address that is not safe, Conflict when somebody else switched.

        Args:
            executor: a profile's name, `local`, `dask`, `ray`, an address (`dask://HOST:PORT`), or
                `-`: the one before.
            insecure: allow an address of another machine without TLS and authentication.
            keep_going: switch although checks failed; what cannot be opened is never switched to.
        """
        call = executor_calls.switch(executor, insecure=insecure, keep_going=keep_going)
        return self.ask(call)

    def drain(self, *, now: bool = False) -> None:
        """Ask the daemon to end; running stages may end first unless `now`."""
        self.ask(system_calls.drain(now=now))

    def backup(self) -> dict[str, Any]:
        """Write a checked copy of the database; return where it lies and its size."""
        return self.ask(system_calls.backup())

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Delete what retention and orphaned files leave to delete; return how much."""
        return self.ask(system_calls.gc(dry_run=dry_run))

    def ask(self, call: Call[T]) -> T:
        """Send any call of `flowdapt.client.endpoints` and return what its answer says."""
        repeats = Repeats(call.request)
        while True:
            try:
                response = self._transport.send(call.request)
            except Unreachable as error:
                time.sleep(repeats.pause_after(error))
                continue
            if not response.ok:
                raise error_of(response)
            return call.read(response)

    def follow(self, feed: Feed[T], *, until: Callable[[T], bool]) -> Iterator[T]:
        """Yield what a stream tells, over reconnections, until `until(value)` is true."""
        decoder, request = EventDecoder(), feed.request
        repeats = Repeats(request)
        over = False
        while not over:
            try:
                with closing(self._events(Feed(request, feed.read), decoder)) as values:
                    # The server ends the stream as well: read to its end, so that it is let go of.
                    for value in values:
                        repeats = Repeats(request)
                        if not over:
                            yield value
                        over = over or until(value)
                if not over:
                    raise ConnectionLost("the stream ended before its time")
            except (Unreachable, TimedOut) as error:
                if over:
                    return
                broke = error if isinstance(error, Unreachable) else ConnectionLost(str(error))
                time.sleep(repeats.pause_after(broke))
            if decoder.last_id is not None:
                request = request.with_header("last-event-id", decoder.last_id)
            decoder = decoder.restarted()

    def _events(self, feed: Feed[T], decoder: EventDecoder) -> Generator[T, None, None]:
        with self._transport.stream(feed.request) as answer:
            head = Response(answer.status, answer.headers)
            if not head.ok:
                raise error_of(replace(head, body=b"".join(answer.chunks)))
            for chunk in answer.chunks:
                for event in decoder.feed(chunk):
                    value = feed.read(event.type, event.json())
                    if value is not None:
                        yield value
