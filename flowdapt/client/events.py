"""The part of both clients that is about the journal: `client.events`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints import system as system_calls
from flowdapt.client.repeating import new_key

if TYPE_CHECKING:
    from flowdapt.client.async_client import AsyncClient
    from flowdapt.client.client import Client

__all__ = ["AsyncEvents", "Events"]

OnGap = Callable[[dict[str, Any]], object]


class Events:
    """`client.events`: types may have stars, as in `com.event.workflow.*`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self,
        *,
        types: Sequence[str] = (),
        run: str | None = None,
        workflow: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[dict[str, Any]]:
        """Return the newest events, oldest first; with `after` the first ones behind that cursor."""
        call = system_calls.events(
            types=types, run=run, workflow=workflow, subject=subject, since=since,
            after=after, tail=after is None, limit=limit,
        )  # fmt: skip
        found: list[dict[str, Any]] = self._client.ask(call)["items"]
        return found

    def follow(
        self,
        *,
        types: Sequence[str] = (),
        run: str | None = None,
        workflow: str | None = None,
        subject: str | None = None,
        after: int | None = None,
        on_gap: OnGap | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield events from now on, or after a cursor, without end and over reconnections.

        `on_gap` is called with `reason`, `from`, `to` and `missed` when events are left out: this
        reader was slower than a thousand events, or the database is a restored one.
        """
        feed = system_calls.watch_events(
            types=types, run=run, workflow=workflow, subject=subject, after=after, on_gap=on_gap
        )
        return self._client.follow(feed, until=lambda _: False)

    def post(
        self,
        type: str,  # noqa: A002 - the word of CloudEvents
        data: Any = None,
        *,
        subject: str | None = None,
        source: str | None = None,
        id: str | None = None,  # noqa: A002 - the word of CloudEvents
        correlation_id: str | None = None,
    ) -> dict[str, Any]:
        """Add an event and return it as it is stored; triggers see it.

        The same `id` is the same event, whatever else is said; None makes a new one. `data` is at
        most 64 KiB of JSON. Raise InvalidInput for a type that flowdapt alone tells, TooLarge.
        """
        call = system_calls.post_event(
            type, data, id_=id or new_key(), source=source, subject=subject,
            correlation_id=correlation_id,
        )  # fmt: skip
        return self._client.ask(call)


class AsyncEvents:
    """`client.events`: types may have stars, as in `com.event.workflow.*`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(
        self,
        *,
        types: Sequence[str] = (),
        run: str | None = None,
        workflow: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Sequence[dict[str, Any]]:
        """Return the newest events, oldest first; with `after` the first ones behind that cursor."""
        call = system_calls.events(
            types=types, run=run, workflow=workflow, subject=subject, since=since,
            after=after, tail=after is None, limit=limit,
        )  # fmt: skip
        found: list[dict[str, Any]] = (await self._client.ask(call))["items"]
        return found

    def follow(
        self,
        *,
        types: Sequence[str] = (),
        run: str | None = None,
        workflow: str | None = None,
        subject: str | None = None,
        after: int | None = None,
        on_gap: OnGap | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield events from now on, or after a cursor, without end and over reconnections.

        `on_gap` is called with `reason`, `from`, `to` and `missed` when events are left out: this
        reader was slower than a thousand events, or the database is a restored one.
        """
        feed = system_calls.watch_events(
            types=types, run=run, workflow=workflow, subject=subject, after=after, on_gap=on_gap
        )
        return self._client.follow(feed, until=lambda _: False)

    async def post(
        self,
        type: str,  # noqa: A002 - the word of CloudEvents
        data: Any = None,
        *,
        subject: str | None = None,
        source: str | None = None,
        id: str | None = None,  # noqa: A002 - the word of CloudEvents
        correlation_id: str | None = None,
    ) -> dict[str, Any]:
        """Add an event and return it as it is stored; triggers see it.

        The same `id` is the same event, whatever else is said; None makes a new one. `data` is at
        most 64 KiB of JSON. Raise InvalidInput for a type that flowdapt alone tells, TooLarge.
        """
        call = system_calls.post_event(
            type, data, id_=id or new_key(), source=source, subject=subject,
            correlation_id=correlation_id,
        )  # fmt: skip
        return await self._client.ask(call)
