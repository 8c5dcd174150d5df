"""Decide how a command waits for a run: shown live where it can be, left without harm by Ctrl-C.

The first Ctrl-C detaches and says how to come back, a second one cancels the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from flowdapt.cli.cells import state_word
from flowdapt.cli.progress import Progress
from flowdapt.cli.session import Session
from flowdapt.client.endpoints import runs as calls
from flowdapt.client.repeating import WAIT_STEP_S
from flowdapt.domain.errors import TimedOut, Unreachable

__all__ = ["Detached", "outcome_code", "wait_for"]

Found = Mapping[str, Any]
TERMINAL = frozenset({"finished", "failed", "cancelled"})
# How long after a Ctrl-C another one still means the run.
SECOND_THOUGHTS_S = 1.5
_BETWEEN_STREAMS_S = 0.05
# A run that waits longer than this for its beginning has a reason to tell.
_BEGINS_WITHIN_S = 1.0


class Detached(KeyboardInterrupt):
    """The person left a run that goes on; they were told how to come back."""


def ended(run: Found) -> bool:
    return run["state"] in TERMINAL


def outcome_code(run: Found) -> int:
    """Return the exit code that a run's end deserves."""
    return 0 if run["state"] == "finished" else 1


def wait_for(
    session: Session, run: Found, *, timeout_s: float | None = None, follow: bool = False
) -> Found:
    """Return the run in its final state. Raise TimedOut, or Detached after Ctrl-C."""
    if ended(run):
        return run
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    session.waits = True
    try:
        with _left_by_interrupt(session, run["name"]):
            run = _begun(session, run, deadline)
            if follow or session.screen.live:
                return _followed(session, run, deadline)
            return _asked(session, run, deadline)
    except Unreachable as error:
        raise _stopped_meanwhile(run, error) from error
    finally:
        session.waits = False


def _begun(session: Session, run: Found, deadline: float | None) -> Found:
    """Give a run a moment to begin its first stage; of one that does not, tell why."""
    until = min(time.monotonic() + _BEGINS_WITHIN_S, deadline or float("inf"))
    while not _has_begun(run):
        if time.monotonic() > until:
            _tell_why(session, run)
            break
        time.sleep(_BETWEEN_STREAMS_S)
        run = session.ask(calls.get(run["uid"]))
    return run


def _has_begun(run: Found) -> bool:
    stages = run.get("stages") or ()
    waits = stages and all(stage["state"] == "pending" for stage in stages)
    return run["state"] != "queued" and not (run["state"] == "running" and waits)


def _tell_why(session: Session, run: Found) -> None:
    reasons = session.ask(calls.explain(run["uid"]))["items"]
    # Of a run that has begun, what its first stage waits for says more than that it runs.
    reason = next((one for one in reasons if one.get("fix")), None)
    if reason is None:
        return
    session.screen.told(
        (state_word(run), "warn"),
        (f"  {run['name']}", "bold"),
        (f"  {reason['message']}", None),
        (f"   [{reason['code']}]", "dim"),
    )
    session.screen.told(("  fix:  ", "bold"), (reason["fix"], None))


def _asked(session: Session, run: Found, deadline: float | None) -> Found:
    while not ended(run):
        left = WAIT_STEP_S if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise _too_long(run)
        run = session.ask(calls.wait(run["uid"], timeout_s=round(min(left, WAIT_STEP_S), 3)))
    return run


def _followed(session: Session, run: Found, deadline: float | None) -> Found:
    progress = Progress(session.screen, estimate_s=_usual_duration_s(session, run["workflow"]))
    with progress:
        progress.update(run)
        # A daemon that stops closes its streams in order: the run goes on with the next one.
        while not ended(run):
            for kind, value in session.follow(calls.watch(run["uid"]), ended=ended):
                if kind == "run":
                    run = value
                    progress.update(run)
                if deadline is not None and time.monotonic() > deadline:
                    raise _too_long(run)
            if not ended(run):
                time.sleep(_BETWEEN_STREAMS_S)
                run = session.ask(calls.get(run["uid"]))
    return run


def _usual_duration_s(session: Session, workflow: str) -> float | None:
    """Return how long the last finished run of the workflow took."""
    page = session.ask(calls.list_(workflow=workflow, state=["finished"], limit=1))
    durations = [one.get("duration_s") for one in page["items"]]
    return durations[0] if durations else None


def _stopped_meanwhile(run: Found, error: Unreachable) -> Unreachable:
    return Unreachable(
        f"{error.message}; {run['name']} goes on when a daemon is up again",
        fix=f"flowdapt up   then  flowdapt runs wait {run['name']}",
    )


def _too_long(run: Found) -> TimedOut:
    return TimedOut(
        f"{run['name']} is still {run['state']}; it goes on",
        fix=f"flowdapt runs wait {run['name']}",
    )


@contextmanager
def _left_by_interrupt(session: Session, name: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        leave(session, name)


def leave(session: Session, name: str) -> NoReturn:
    """Tell how to come back, wait for second thoughts, end the command."""
    tell = session.screen.complain
    tell(("", None))
    tell((f"detached; {name} goes on.", "bold"), (" Come back:", None))
    tell((f"  flowdapt runs wait {name}", None))
    tell((f"  flowdapt logs {name} -f", None))
    tell(("Ctrl-C once more cancels it.", "dim"))
    try:
        _second_thoughts()
    except KeyboardInterrupt:
        session.ask(calls.cancel(name))
        tell(("", None))
        tell((f"asked {name} to stop:", None))
        tell((f"  flowdapt runs show {name}", None))
    raise Detached


def _second_thoughts() -> None:
    time.sleep(SECOND_THOUGHTS_S)
