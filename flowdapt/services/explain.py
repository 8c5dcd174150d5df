"""Say in words why a run and its stages are as they are, and what to do: the `why` of every client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from flowdapt.domain.records import RunRecord, StageRecord
from flowdapt.domain.run import Reason, RunState, StageState
from flowdapt.domain.task import ErrorInfo
from flowdapt.domain.workflow import StageSpec, WorkflowSpec
from flowdapt.ports.engine import LiveStage

__all__ = ["explain"]


def explain(
    run: RunRecord,
    stages: Sequence[StageRecord],
    live: Mapping[str, LiveStage],
    now: datetime,
    *,
    holds: str | None = None,
) -> list[Reason]:
    """Return one sentence for the run, then one for each stage that is not plainly finished.

    `holds` is why no run at all is begun now.
    """
    spec = WorkflowSpec.model_validate_json(run.definition)
    reasons = [_of_queued(run, spec, holds) if run.state is RunState.QUEUED else _of_run(run)]
    states = {stage.name: stage for stage in stages}
    for stage in stages:
        reason = _of_stage(run, stage, spec, states, live.get(stage.name), now)
        if reason is not None:
            reasons.append(reason)
    return reasons


def _of_queued(run: RunRecord, spec: WorkflowSpec, holds: str | None) -> Reason:
    subject = f"run {run.name}"
    limit = spec.concurrency
    if holds is not None:
        return Reason(subject=subject, code="run.held", message=holds, fix="flowdapt status")
    if limit is not None:
        text = f"workflow {run.workflow!r} may have {limit.max_runs} open run(s) at once; this one waits its turn"
        return Reason(
            subject=subject,
            code="run.concurrency",
            message=text,
            fix=f"flowdapt runs ls --workflow {run.workflow}",
        )
    text = "no compute service has claimed it yet"
    return Reason(subject=subject, code="run.unclaimed", message=text, fix="flowdapt status")


def _of_run(run: RunRecord) -> Reason:
    subject = f"run {run.name}"
    if run.state is RunState.RUNNING and run.owner is None:
        text = "its daemon let go of it; the next compute service takes it over"
        return Reason(subject=subject, code="run.unowned", message=text, fix="flowdapt up")
    if run.state is RunState.RUNNING:
        return Reason(
            subject=subject, code="run.running", message=f"it runs on executor {run.executor!r}"
        )
    if run.state is RunState.CANCELLING:
        return Reason(subject=subject, code="run.cancelling", message="its tasks are being stopped")
    if run.state is RunState.CANCELLED:
        return Reason(
            subject=subject,
            code="run.cancelled",
            message=_CANCELLED.get(run.reason or "", f"it was cancelled ({run.reason})"),
        )
    if run.state is RunState.FAILED:
        return _failed_run(run, subject)
    note = "; some items failed, see its stages" if run.partial else ""
    return Reason(subject=subject, code="run.finished", message=f"it finished{note}")


_CANCELLED = {
    "user": "a user cancelled it",
    "replaced": "a newer run of the same workflow or rule replaced it",
    "skipped": "the workflow was at its max_runs (concurrency: skip)",
}


def _failed_run(run: RunRecord, subject: str) -> Reason:
    if run.reason == "timeout" and run.error is not None and not run.error.stage:
        return Reason(
            subject=subject,
            code="run.timeout",
            message=f"it took longer than its timeout of {run.timeout_s:g} s",
            fix=f"raise spec.timeout, then  flowdapt runs retry {run.name}",
        )
    where = f"stage {run.error.stage!r}: {_said(run.error)}" if run.error else run.reason
    return Reason(
        subject=subject,
        code=f"run.{run.reason}",
        message=f"it failed at {where}",
        fix=f"flowdapt runs retry {run.name}",
    )


def _of_stage(
    run: RunRecord,
    stage: StageRecord,
    spec: WorkflowSpec,
    states: Mapping[str, StageRecord],
    live: LiveStage | None,
    now: datetime,
) -> Reason | None:
    subject = f"stage {stage.name}"
    if stage.state is StageState.PENDING and not run.state.terminal:
        return _of_pending(run, spec.stage(stage.name), states, live)
    if stage.state is StageState.RUNNING and live is not None and live.waiting_for:
        return _waits(subject, live.waiting_for)
    if stage.state is StageState.RETRYING:
        wait_s = max(0.0, (stage.next_at - now).total_seconds()) if stage.next_at else 0.0
        text = f"attempt {stage.attempt} failed ({stage.error.type if stage.error else '?'}); the next one starts in {wait_s:.0f} s"
        return Reason(subject=subject, code="stage.retrying", message=text)
    if stage.state is StageState.SKIPPED:
        return Reason(
            subject=subject, code="stage.skipped", message="a stage it depends on did not finish"
        )
    if stage.state is StageState.FAILED:
        return _failed_stage(run, stage, subject)
    if stage.items_failed:
        text = f"{stage.items_failed} of {stage.items_total} items failed"
        return Reason(
            subject=subject,
            code="stage.partial",
            message=text,
            fix=f"flowdapt runs retry {run.name}",
        )
    return None


def _said(error: ErrorInfo) -> str:
    return f"{error.type.removeprefix('builtins.')}: {error.message}"


def _of_pending(
    run: RunRecord,
    spec: StageSpec,
    states: Mapping[str, StageRecord],
    live: LiveStage | None,
) -> Reason:
    subject = f"stage {spec.name}"
    unmet = [name for name in spec.depends_on if states[name].state is not StageState.FINISHED]
    if unmet:
        return Reason(
            subject=subject,
            code="stage.waits_for_stages",
            message="it waits for " + ", ".join(unmet),
        )
    if live is not None and live.waiting_for is not None:
        return _waits(subject, live.waiting_for)
    begun = run.state is RunState.RUNNING
    text = "it is being started" if begun else "its run has not begun"
    return Reason(subject=subject, code="stage.starting", message=text)


def _waits(subject: str, waits: str) -> Reason:
    return Reason(
        subject=subject,
        code="stage.waits_for_slot",
        message=f"it waits for {waits}",
        fix="flowdapt executor ls",
    )


def _failed_stage(run: RunRecord, stage: StageRecord, subject: str) -> Reason:
    error = stage.error
    text = _said(error) if error else (stage.reason or "it failed")
    if stage.reason == "stage_crashed":
        text = f"its worker died {stage.losses} times: {text}"
    return Reason(
        subject=subject,
        code=f"stage.{stage.reason or 'failed'}",
        message=text,
        fix=f"flowdapt logs {run.name} --stage {stage.name}",
    )
