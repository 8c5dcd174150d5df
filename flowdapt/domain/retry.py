"""Decide whether a failed attempt is tried again, and how long to wait before."""

from __future__ import annotations

from flowdapt.domain.task import ErrorInfo
from flowdapt.domain.workflow import RetryPolicy

__all__ = [
    "MAX_LOSSES",
    "MAX_RECOVERIES",
    "TIMEOUT",
    "delay_s",
    "failure_reason",
    "may_retry",
]

# The error type by which the driver tells that a task was stopped at its time limit.
TIMEOUT = "flowdapt.StageTimeout"

# Workers that died under a task, before the task itself is taken for the cause.
MAX_LOSSES = 3
# Daemon deaths survived by one stage run: each says little, but a stage that kills its daemon must end.
MAX_RECOVERIES = 16


def may_retry(policy: RetryPolicy, error: ErrorInfo, attempt: int) -> bool:
    """Say whether attempt number `attempt` (from 1) that failed so may be followed by another."""
    if attempt >= policy.max_attempts or not error.retryable:
        return False
    names = {error.type, *error.bases}
    # People write OSError for builtins.OSError.
    names |= {name.removeprefix("builtins.") for name in names}
    if names & set(policy.no_retry_on):
        return False
    return not policy.retry_on or bool(names & set(policy.retry_on))


def delay_s(policy: RetryPolicy, attempt: int, chance: float) -> float:
    """Return the wait after attempt number `attempt`: full jitter, `chance` uniform in [0, 1)."""
    ceiling = min(policy.max, policy.initial * policy.factor ** min(attempt - 1, 64))
    return chance * ceiling


def failure_reason(error: ErrorInfo) -> str:
    """Return the `reason` of a stage that this error ended."""
    return "timeout" if error.type == TIMEOUT else "stage_failed"
