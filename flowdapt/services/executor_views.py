"""Make what clients see of an executor out of its profile and its place in this daemon."""

from __future__ import annotations

import re
from typing import Any

from flowdapt.domain.executor_profile import ExecutorProfile, ExecutorView
from flowdapt.services.seat import Seat

__all__ = ["masked", "view_of"]

_MASKED = "***"
# What is written as a secret's name may be shown; what looks like a secret itself may not.
_BY_NAME = re.compile(r"\$?\{secret:[^{}]*\}")
_PRIVATE = re.compile(r"password|token|secret|api_?key|private_?key", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def view_of(
    profile: ExecutorProfile, seat: Seat | None, *, active: bool, built_in: bool, runs: int
) -> ExecutorView:
    """Return the executor as `executor ls` shows it."""
    about: dict[str, Any] = {
        "name": profile.name,
        "kind": profile.kind,
        "active": active,
        "built_in": built_in,
        "options": masked(profile.options),
        "runs": runs,
    }
    if seat is None or seat.state == "closed":
        return ExecutorView(state="closed", **about)
    dispatcher = seat.dispatcher
    about |= {"busy": dispatcher.busy, "waiting": dispatcher.waiting, "words": seat.words()}
    if seat.state != "ready":
        return ExecutorView(state=seat.state, **about)
    capacity, scale = dispatcher.executor.capacity(), dispatcher.executor.scale()
    return ExecutorView(
        state="ready",
        slots=capacity.slots,
        cpus=capacity.cpus,
        gpus=capacity.gpus,
        memory_bytes=capacity.memory_bytes,
        resources=dict(capacity.custom),
        workers=scale.workers,
        minimum=scale.minimum,
        maximum=scale.maximum,
        **about,
    )


def masked(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options without what nobody should read."""
    return {name: _masked(name, value) for name, value in options.items()}


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return masked(value)
    if not isinstance(value, str):
        return value
    if _PRIVATE.search(name) and not _BY_NAME.fullmatch(value):
        return _MASKED
    return _LOGIN.sub(_MASKED, value)
