"""Decide how many runs are read or deleted at once, and in which order: lists are put together from pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowdapt.cli.session import Session
from flowdapt.cli.usage import UsageProblem, closest
from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.wording import amount

__all__ = ["RUN_ORDERS", "delete_runs", "list_runs", "run_order"]

RUN_ORDERS = ("created", "started", "finished", "duration")

_PAGE = 500


def list_runs(session: Session, *, limit: int, every: bool, **where: Any) -> dict[str, Any]:
    """Return a list of runs, put together from as many pages as it takes."""
    where["namespace"] = session.common.namespace
    items: list[Any] = []
    cursor = None
    while True:
        size = _PAGE if every else min(limit - len(items), _PAGE)
        page = session.ask(calls.list_(cursor=cursor, limit=size, **where))
        items += page["items"]
        cursor = page.get("next")
        if cursor is None or (len(items) >= limit and not every):
            return {"items": items, "next": cursor}


def delete_runs(session: Session, runs: Sequence[str]) -> int:
    """Delete runs, after a question when they are several."""
    found = [session.ask(calls.get(run)) for run in runs]
    if len(found) > 1 and not session.confirm(f"delete {amount(len(found), 'run')}?"):
        return 1
    for run in found:
        session.ask(calls.delete(run["uid"]))
    session.output.acted("deleted", "run", *(run["name"] for run in found))
    return 0


def run_order(text: str) -> str:
    """Read what runs are sorted by."""
    if text.removeprefix("-") not in RUN_ORDERS:
        raise UsageProblem(
            f"runs are not sorted by {text!r}",
            suggestion=closest(text, RUN_ORDERS),
            fix=f"--sort takes {', '.join(RUN_ORDERS)}, each with - in front as well",
        )
    return text
