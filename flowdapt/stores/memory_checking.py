"""Check what a memory store holds by the same words that `checking` has for rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowdapt.domain.events import WORKFLOW_FINISHED, Event
from flowdapt.domain.run import RunState, StageState
from flowdapt.stores.memory_runs import HeldRun

__all__ = ["broken"]

_ACTIVE = (RunState.RUNNING, RunState.CANCELLING)


def broken(held: HeldRun, events: Sequence[Event]) -> list[str]:
    """Return the broken invariants of a run, in words."""
    return [
        f"{held.run.uid} {sentence}" for sentence in (*_of_run(held), *_of_events(held, events))
    ]


def _of_run(held: HeldRun) -> Iterator[str]:
    run, states = held.run, {stage.state for stage in held.stages}
    if run.state.terminal != (run.finished_at is not None):
        yield "has a finished_at that does not fit its state"
    if run.owner is not None and run.state not in _ACTIVE:
        yield "has an owner but is not running"
    if run.finished_at is not None and run.finished_at < (run.started_at or run.created_at):
        yield "ended before it started or started before it was created"
    if run.state.terminal and not all(state.terminal for state in states):
        yield "is terminal with an open stage"
    if run.state is RunState.FINISHED and states - {StageState.FINISHED}:
        yield "is finished with a stage that is not"


def _of_events(held: HeldRun, events: Sequence[Event]) -> Iterator[str]:
    if [event.seq for event in events] != list(range(1, held.run.next_seq)):
        yield "has a journal with gaps"
    ends = sum(event.type == WORKFLOW_FINISHED for event in events)
    if ends != int(held.run.state.terminal):
        yield "has not exactly one terminal event"
