from __future__ import annotations

from flowdapt.domain.run import Run
from flowdapt.tui.model.run_facts import compared, errors_of, facts_of, frames_of, is_of_user
from tests.tui.fake import NOW
from tests.tui.furnished_run import TRACEBACK, the_run


def test_frames_are_read_and_the_users_are_told_from_those_of_libraries() -> None:
    frames = frames_of(TRACEBACK)
    assert [(frame.path.rpartition("/")[2], frame.line, frame.function) for frame in frames] == [
        ("calling.py", 80, "call"), ("train.py", 14, "fit"), ("base.py", 1363, "wrapper"),
    ]  # fmt: skip
    assert [frame.function for frame in frames if is_of_user(frame)] == ["fit"]
    assert frames[1].code == ("model.fit(features, target)",)


def test_what_is_no_traceback_has_no_frames() -> None:
    assert frames_of("") == []
    assert frames_of("worker died\n  by signal 9") == []


def test_an_error_of_run_and_stage_is_told_once() -> None:
    run = Run.model_validate(the_run("failed"))
    assert [(one.stage, one.type) for one in errors_of(run)] == [("fit", "builtins.ValueError")]
    assert errors_of(Run.model_validate(the_run())) == []


def test_facts_leave_out_what_is_as_always() -> None:
    names = [name for name, _ in facts_of(Run.model_validate(the_run()), NOW)]
    assert names == ["workflow", "so far", "age", "executor", "source", "labels"]


def test_runs_are_compared_stage_by_stage() -> None:
    before = Run.model_validate(the_run("failed"))
    stages = [one.model_copy(update={"duration_s": 2.0}) for one in before.stages[:2]]
    stages[0] = stages[0].model_copy(update={"inherited": True})
    rows = compared(before.model_copy(update={"stages": stages}), before)
    assert [row.name for row in rows] == [stage.name for stage in before.stages]
    assert [row.slower_s for row in rows][:2] == [None, 2.0 - 6.2]
    assert rows[5].here is None
