from __future__ import annotations

from datetime import timedelta

from flowdapt.domain.run import Run
from flowdapt.domain.trigger_views import TriggerStatus
from flowdapt.tui.model.pulse import Pulse
from tests.tui.fake import NOW, a_run


def an_error(kind: str, stage: str) -> dict[str, str]:
    return {"type": f"builtins.{kind}", "message": "no", "stage": stage}


def a_rule(name: str, hours: int, workflow: str) -> TriggerStatus:
    return TriggerStatus.model_validate(
        {"name": name, "revision": 1, "type": "schedule", "state": "armed",
         "next_at": NOW + timedelta(hours=hours), "actions": [f"run_workflow {workflow}"]}
    )  # fmt: skip


def a_pulse() -> Pulse:
    told = [
        a_run(1, "running", workflow="train"),
        a_run(2, "failed", workflow="train", error=an_error("ValueError", "fit")),
        a_run(3, workflow="score", duration_s=4.0),
        a_run(4, "failed", workflow="train", error=an_error("ValueError", "fit")),
        a_run(5, "failed", workflow="score", reason="timeout"),
        a_run(6, workflow="score", duration_s=8.0),
    ]
    pulse = Pulse()
    rules = [a_rule("late", 5, "score"), a_rule("soon", 1, "score")]
    pulse.take([Run.model_validate(one) for one in told], None, ["idle", "score", "train"], rules)
    return pulse


def test_workflows_stand_by_their_newest_run_and_the_idle_ones_last() -> None:
    assert [one.workflow for one in a_pulse().rhythms()] == ["train", "score", "idle"]


def test_a_rhythm_ends_with_the_newest_run_and_knows_its_median_and_next_fire() -> None:
    train, score, idle = a_pulse().rhythms()
    assert train.last is not None
    assert train.last.state.value == "running"
    assert train.failed == 2
    assert score.median_s == 6.0
    assert score.next_at == NOW + timedelta(hours=1)
    assert (idle.last, idle.median_s, idle.next_at) == (None, None, None)


def test_failures_are_grouped_by_what_they_have_in_common() -> None:
    found = [(one.workflow, one.stage, one.error, one.count) for one in a_pulse().failures()]
    assert found == [("train", "fit", "ValueError", 2), ("score", "", "timeout", 1)]


def test_the_nearest_fire_stands_first() -> None:
    assert [rule.name for _, rule in a_pulse().fires()] == ["soon", "late"]


def test_a_store_with_nothing_in_it_is_told_from_one_not_read_yet() -> None:
    pulse = Pulse()
    assert not pulse.empty
    pulse.take([], None, [], [])
    assert pulse.empty
    assert not a_pulse().empty
