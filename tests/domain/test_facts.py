"""How runs and stages are told in the journal."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flowdapt.domain.conditions import parse_condition
from flowdapt.domain.facts import STAGE_FINISHED, run_finished, run_started, stage_event
from flowdapt.domain.records import RunRecord, StageRecord
from flowdapt.domain.run import RunState, StageState, StageType
from flowdapt.domain.task import ErrorInfo, ValueRef

T0 = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
RUN = RunRecord(
    uid="u1", name="bold-cat-00000000", workflow="train", revision=1, state=RunState.FAILED, source="api",
    namespace="default", executor="local", definition="{}", config="{}", input=ValueRef(kind="inline"),
    created_at=T0, started_at=T0, finished_at=T0,
)  # fmt: skip
ERROR = ErrorInfo("builtins.ValueError", "no such city", traceback="Traceback…", stage="fetch")


def data_of(draft: Any) -> Any:
    return json.loads(draft.data)


def test_a_failed_run_is_told_with_its_error_but_no_traceback() -> None:
    data = data_of(run_finished(replace(RUN, error=ERROR)))
    assert data["error"] == {
        "type": "builtins.ValueError",
        "message": "no such city",
        "stage": "fetch",
    }
    condition = parse_condition({"matches": [{"var": "data.error.message"}, "city"]})
    assert condition.holds({"data": data})


def test_a_run_without_an_error_says_so() -> None:
    assert data_of(run_started(RUN))["error"] is None


def test_a_long_error_is_cut() -> None:
    long = ErrorInfo("x" * 100_000, "y" * 100_000, stage="z" * 100_000)
    assert len(run_finished(replace(RUN, error=long)).data) < 8000


def test_a_stage_is_told_with_the_same_error() -> None:
    stage = StageRecord("fetch", 0, StageType.SIMPLE, state=StageState.FAILED, error=ERROR)
    data = data_of(stage_event(STAGE_FINISHED, RUN, stage))
    assert data["error"] == data_of(run_finished(replace(RUN, error=ERROR)))["error"]
