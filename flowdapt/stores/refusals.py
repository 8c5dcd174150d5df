"""Word every refusal once, whichever store speaks it."""

from __future__ import annotations

from flowdapt.domain.errors import (
    Conflict,
    KeyReused,
    NotFound,
    QueueFull,
    RunNotTerminal,
    StaleEpoch,
    StaleRevision,
    StaleRule,
)
from flowdapt.domain.wording import amount

__all__ = [
    "PREFIX_MIN",
    "ambiguous",
    "check_revision",
    "key_reused",
    "no_profile",
    "no_resource",
    "no_rule_state",
    "no_run",
    "not_terminal",
    "out_of_turn",
    "profile_exists",
    "profile_in_use",
    "queue_full",
    "stale",
    "stale_rule",
    "switched_meanwhile",
]

# A shorter beginning is no name of a run: it would soon mean another one.
PREFIX_MIN = 6


def no_run(ident: str) -> NotFound:
    fix = "`flowdapt runs ls` lists the runs"
    if len(ident) < PREFIX_MIN:
        fix += f"; the beginning of a name or uid counts from {PREFIX_MIN} characters on"
    return NotFound(f"no run {ident!r}", fix=fix)


def ambiguous(ident: str, found: list[str]) -> Conflict:
    return Conflict(
        f"{ident!r} may be {' or '.join(found)}",
        fix="give the uid",
        code="run.ambiguous",
    )


def queue_full(limit: int) -> QueueFull:
    return QueueFull(
        f"{limit} runs are queued, which is the limit",
        fix="wait until some have started, or raise limits.max_queued_runs",
    )


def key_reused(key: str, old: str) -> KeyReused:
    return KeyReused(
        f"the idempotency key {key!r} was used for run {old} with another body",
        fix="send another key, or the same body again",
    )


def stale(uid: str, epoch: int) -> StaleEpoch:
    return StaleEpoch(f"epoch {epoch} does not own run {uid}, or it has ended")


def out_of_turn(uid: str, first_seq: int, next_seq: int) -> Conflict:
    return Conflict(f"run {uid} expects event {next_seq}, not {first_seq}")


def not_terminal(uid: str, state: str) -> RunNotTerminal:
    return RunNotTerminal(f"run {uid} is {state}", fix=f"flowdapt runs cancel {uid}")


def no_resource(kind: str, name: str, revision: int | None = None) -> NotFound:
    which = f"revision {revision} of {kind} {name!r}" if revision else f"{kind} {name!r}"
    return NotFound(f"there is no {which}", fix=f"flowdapt get {kind}s")


def no_rule_state(rule: str) -> NotFound:
    return NotFound(f"there is no trigger rule {rule!r}", fix="flowdapt get triggers")


def stale_rule(rule: str) -> StaleRule:
    return StaleRule(f"trigger rule {rule!r} was changed, paused or deleted meanwhile")


def no_profile(name: str) -> NotFound:
    return NotFound(
        f"there is no executor {name!r}", code="executor.not_found", fix="flowdapt executor ls"
    )


def profile_exists(name: str) -> Conflict:
    return Conflict(
        f"there is an executor {name!r} already",
        code="executor.exists",
        fix=f"choose another name, or  flowdapt executor rm {name}",
    )


def profile_in_use(name: str, *, active: bool, runs: int) -> Conflict:
    if active:
        return Conflict(
            f"executor {name!r} is the active one",
            code="executor.in_use",
            fix="switch to another one first:  flowdapt use local",
        )
    return Conflict(
        f"{amount(runs, 'open run is', 'open runs are')} pinned to executor {name!r}",
        code="executor.in_use",
        fix="wait for them, or cancel them:  flowdapt runs ls --state running",
    )


def switched_meanwhile(name: str) -> StaleRevision:
    return StaleRevision(
        f"somebody else has switched to {name!r} meanwhile",
        code="executor.switched_meanwhile",
        fix="flowdapt executor ls",
    )


def check_revision(kind: str, name: str, wanted: int | None, current: int) -> None:
    """Raise StaleRevision unless `wanted` is current (0: must not exist)."""
    if wanted is None or wanted == current:
        return
    there = f"is at revision {current}" if current else "does not exist"
    raise StaleRevision(
        f"{kind} {name!r} {there}, not at {wanted}", fix=f"flowdapt get {kind} {name} -o yaml"
    )
