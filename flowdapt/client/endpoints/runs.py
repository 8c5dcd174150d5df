"""Calls about runs: submit, list, look, watch, cancel, retry, explain, delete, and their logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints.making import listed, nothing, page, raw, request, value
from flowdapt.client.wire import Call, Feed, Response, json_of

if TYPE_CHECKING:
    from datetime import datetime

    from pydantic import BaseModel

    from flowdapt.domain.run import Item, Reason, RetryRequest, Run, RunRequest
    from flowdapt.ports.store import Page

__all__ = [
    "cancel",
    "delete",
    "explain",
    "get",
    "items",
    "list_",
    "logs",
    "metrics",
    "result",
    "retry",
    "submit",
    "tail",
    "wait",
    "watch",
]

STREAM = ("accept", "text/event-stream")


def _run(response: Response) -> Run:
    return _run_of(json_of(response))


def _run_of(found: Any) -> Run:
    from flowdapt.domain.run import Run

    return Run.model_validate(found)


def _item_of(found: Any) -> Item:
    from flowdapt.domain.run import Item

    return Item.model_validate(found)


def _plain(body: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    return (
        dict(body)
        if isinstance(body, Mapping)
        else body.model_dump(mode="json", exclude_unset=True)
    )


def submit(
    workflow: str, body: RunRequest | Mapping[str, Any], *, key: str, wait_s: float = 0.0
) -> Call[Run]:
    """Submit a run. With `wait_s` the server answers when it has ended, at most that much later."""
    headers = [("idempotency-key", key)]
    if wait_s:
        headers.append(("prefer", f"wait={wait_s:g}"))
    made = request(
        "POST", "workflows", workflow, "runs",
        content=_plain(body), headers=tuple(headers), patience_s=wait_s,
    )  # fmt: skip
    return Call(made, _run)


def list_(
    *,
    state: Sequence[str] = (),
    workflow: str | None = None,
    namespace: str | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    q: str | None = None,
    label: Sequence[str] = (),
    parent: str | None = None,
    trigger: str | None = None,
    longer: float | None = None,
    shorter: float | None = None,
    sort: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[Page[Run]]:
    """List runs, newest first, without stages, input and result. Labels are `name=value`, times seconds."""
    given = {
        "state": list(state), "workflow": workflow, "namespace": namespace, "since": since,
        "until": until, "q": q, "label": list(label), "parent": parent, "trigger": trigger,
        "longer": longer, "shorter": shorter, "sort": sort, "cursor": cursor, "limit": limit,
    }  # fmt: skip
    return Call(request("GET", "runs", given=given), lambda answer: page(answer, _run_of))


def get(ident: str) -> Call[Run]:
    """Get a run by uid, by name, or by a unique prefix of either."""
    return Call(request("GET", "runs", ident), _run)


def wait(ident: str, *, timeout_s: float) -> Call[Run]:
    """Get the run when it has ended, or as it is when the time is over."""
    prefer = (("prefer", f"wait={timeout_s:g}"),)
    return Call(request("GET", "runs", ident, headers=prefer, patience_s=timeout_s), _run)


def watch(ident: str) -> Feed[Run]:
    """Follow a run: as it is now, after each change, and last when it has ended."""

    def read(kind: str, found: Any) -> Run | None:
        return _run_of(found) if kind == "run" else None

    return Feed(request("GET", "runs", ident, "watch", headers=(STREAM,)), read)


def cancel(ident: str) -> Call[Run]:
    return Call(request("POST", "runs", ident, "cancel"), _run)


def retry(ident: str, body: RetryRequest | Mapping[str, Any], *, key: str) -> Call[Run]:
    """Start a new run whose parent is this one."""
    headers = (("idempotency-key", key),)
    return Call(
        request("POST", "runs", ident, "retry", content=_plain(body), headers=headers), _run
    )


def result(ident: str) -> Call[bytes]:
    """Get the JSON text of the result; Conflict while the run is open."""
    return Call(request("GET", "runs", ident, "result", patience_s=60.0), raw)


def explain(ident: str) -> Call[list[Reason]]:
    """Say why the run and its stages are as they are."""

    def read(response: Response) -> list[Reason]:
        from flowdapt.domain.run import Reason

        return [Reason.model_validate(one) for one in json_of(response)["items"]]

    return Call(request("GET", "runs", ident, "explain"), read)


def items(
    ident: str,
    stage: str,
    *,
    state: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[Page[Item]]:
    """List the items of a mapped stage by index."""
    given = {"state": state, "cursor": cursor, "limit": limit}
    made = request("GET", "runs", ident, "stages", stage, "items", given=given)
    return Call(made, lambda answer: page(answer, _item_of))


def _log_query(
    stage: str | None, level: str | None, grep: str | None, context: int, index: int | None
) -> dict[str, Any]:
    return {
        "stage": stage, "level": level, "grep": grep, "context": context or None, "index": index,
    }  # fmt: skip


def logs(
    ident: str,
    *,
    stage: str | None = None,
    level: str | None = None,
    grep: str | None = None,
    context: int = 0,
    index: int | None = None,
    attempt: int | None = None,
    after: int = 0,
    before: int | None = None,
    tail: bool = False,
    limit: int | None = None,
) -> Call[dict[str, Any]]:
    """Read log lines; `grep` searches all of them. `tail` gives the last `limit`, else the first."""
    given = _log_query(stage, level, grep, context, index)
    given |= {
        "attempt": attempt, "after": after or None, "before": before, "tail": tail, "limit": limit,
    }  # fmt: skip
    return Call(request("GET", "runs", ident, "logs", given=given), value)


def tail(
    ident: str,
    *,
    stage: str | None = None,
    level: str | None = None,
    grep: str | None = None,
    index: int | None = None,
) -> Feed[dict[str, Any]]:
    """Follow the log until the run has ended."""

    def read(kind: str, found: Any) -> dict[str, Any] | None:
        return found if kind == "log" else None

    given = _log_query(stage, level, grep, 0, index)
    return Feed(request("GET", "runs", ident, "logs", given=given, headers=(STREAM,)), read)


def metrics(
    ident: str, *, stage: str | None = None, name: str | None = None
) -> Call[list[dict[str, Any]]]:
    """Get the series that stages recorded with `metric(name, value, step)`."""
    given = {"stage": stage, "name": name}
    return Call(request("GET", "runs", ident, "metrics", given=given), listed)


def delete(ident: str) -> Call[None]:
    """Delete a run that has ended, whole: rows, logs, values."""
    return Call(request("DELETE", "runs", ident), nothing)
