"""What a stage sees of its run, and what leaves it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time

import pytest

from flowdapt.domain.errors import OutsideStage
from flowdapt.domain.task import (
    LogLine,
    MetricPoint,
    Progress,
    RunInfo,
    TaskCall,
    TaskEvent,
    ValueRef,
    WorkerEnvironment,
)
from flowdapt.runtime.context import activate, get_run_context
from flowdapt.runtime.stage_logs import ContextLogHandler

ENVIRONMENT = WorkerEnvironment(
    values_root="/nowhere", artifacts_url="memory://", memory_root="/nowhere"
)


def call(*, uid: str = "a" * 32, secrets: dict[str, str] | None = None) -> TaskCall:
    run = RunInfo(
        uid=uid,
        name="calm-otter-00000001",
        workflow="train",
        revision=3,
        namespace="default",
        executor="local",
        source="api",
        input=ValueRef(kind="inline", data=json.dumps({"n": 4}).encode()),
        config=b'{"model": {"depth": 2}}',
        definition=b'{"stages": []}',
        labels={"team": "a"},
    )
    return TaskCall(
        run=run,
        stage="fit",
        target="m.f",
        task_key=f"{uid}/fit",
        attempt=2,
        epoch=1,
        secrets=secrets or {},
    )


@pytest.fixture
def events() -> list[TaskEvent]:
    return []


def test_a_stage_sees_its_run(events: list[TaskEvent]) -> None:
    with activate(call(secrets={"KEY": "s"}), ENVIRONMENT, events.append):
        context = get_run_context()
        assert context.input == {"n": 4}
        assert context.config["model"]["depth"] == 2
        assert context.definition == {"stages": []}
        assert (context.run.name, context.run.workflow) == ("calm-otter-00000001", "train")
        assert (context.run.uid, context.run.revision) == ("a" * 32, 3)
        assert dict(context.run.labels) == {"team": "a"}
        assert (context.namespace, context.executor) == ("default", "local")
        assert (context.stage, context.attempt, context.index) == ("fit", 2, None)
        assert context.task_key == f"{'a' * 32}/fit"
        assert dict(context.secrets) == {"KEY": "s"}
        assert not context.cancelled


def test_the_run_and_the_secrets_cannot_be_changed(events: list[TaskEvent]) -> None:
    with activate(call(secrets={"KEY": "s"}), ENVIRONMENT, events.append) as context:
        with pytest.raises(TypeError):
            context.secrets["KEY"] = "t"  # type: ignore[index]
        with pytest.raises(AttributeError):
            context.run.name = "other"  # type: ignore[misc]


def test_outside_a_stage_the_error_says_what_to_do() -> None:
    with pytest.raises(OutsideStage) as caught:
        get_run_context()
    assert "run_stage" in str(caught.value.fix)


def test_the_context_ends_with_the_stage(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        pass
    with pytest.raises(OutsideStage):
        get_run_context()
    context.progress(1)
    context.metric("loss", 1.0)
    assert events == []


def test_a_failing_stage_leaves_no_context_behind(events: list[TaskEvent]) -> None:
    with pytest.raises(ZeroDivisionError), activate(call(), ENVIRONMENT, events.append):
        _ = 1 / 0
    with pytest.raises(OutsideStage):
        get_run_context()


def test_contexts_nest(events: list[TaskEvent]) -> None:
    with activate(call(uid="a" * 32), ENVIRONMENT, events.append) as outer:
        with activate(call(uid="b" * 32), ENVIRONMENT, events.append) as inner:
            assert get_run_context() is inner
        assert get_run_context() is outer


def in_thread(function) -> object:
    answers: list[object] = []

    def run() -> None:
        try:
            answers.append(function())
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answers[0]


def test_a_thread_of_the_stage_finds_the_only_context(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        assert in_thread(get_run_context) is context


def test_a_thread_is_refused_when_it_might_belong_to_either_of_two(
    events: list[TaskEvent],
) -> None:
    with (
        activate(call(uid="a" * 32), ENVIRONMENT, events.append),
        activate(call(uid="b" * 32), ENVIRONMENT, events.append),
    ):
        refused = in_thread(get_run_context)
    assert isinstance(refused, OutsideStage)
    assert "hand it to the thread" in str(refused.fix)


def test_two_stages_in_two_threads_see_their_own_context(events: list[TaskEvent]) -> None:
    both_inside = threading.Barrier(2, timeout=10)
    seen: dict[str, str] = {}

    def stage(uid: str) -> None:
        with activate(call(uid=uid), ENVIRONMENT, events.append):
            both_inside.wait()
            seen[uid] = get_run_context().run.uid
            both_inside.wait()

    threads = [threading.Thread(target=stage, args=(letter * 32,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {"a" * 32: "a" * 32, "b" * 32: "b" * 32}


def test_asyncio_tasks_of_the_stage_find_the_context(events: list[TaskEvent]) -> None:
    async def body() -> list[str]:
        async def child() -> str:
            await asyncio.sleep(0)
            return get_run_context().stage

        return await asyncio.gather(child(), asyncio.to_thread(lambda: get_run_context().stage))

    with (
        activate(call(uid="b" * 32), ENVIRONMENT, events.append),
        activate(call(), ENVIRONMENT, events.append),
    ):
        assert asyncio.run(body()) == ["fit", "fit"]


def test_progress_leaves_at_a_bounded_rate_and_the_last_one_always(
    events: list[TaskEvent],
) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        for done in range(1, 10_001):
            context.progress(done, 10_000, "rows")
        sent_inside = len(events)
    assert sent_inside < 1000
    assert events[0] == Progress(1.0, 10_000.0, "rows")
    assert events[-1] == Progress(10_000.0, 10_000.0, "rows")


def test_a_progress_is_not_sent_twice(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        context.progress(1)
    assert events == [Progress(1.0)]


def points(events: list[TaskEvent]) -> list[tuple[str, float, int, int | None]]:
    found = [event for event in events if isinstance(event, MetricPoint)]
    return [(point.name, point.value, point.step, point.index) for point in found]


def test_metrics_are_counted_per_name_unless_a_step_is_given(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        context.metric("loss", 3)
        context.metric("loss", 2)
        context.metric("mae", 9)
        context.metric("loss", 1, step=10)
        context.metric("loss", 0.5)
    assert points(events) == [
        ("loss", 3.0, 0, None),
        ("loss", 2.0, 1, None),
        ("mae", 9.0, 0, None),
        ("loss", 1.0, 10, None),
        ("loss", 0.5, 11, None),
    ]
    assert all(abs(e.time - time.time()) < 60 for e in events if isinstance(e, MetricPoint))


def test_items_count_their_metrics_apart(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append, index=0) as context:
        context.metric("loss", 3)
        context.enter_item(1)
        context.metric("loss", 2)
        assert context.task_key == f"{'a' * 32}/fit/1"
    assert points(events) == [("loss", 3.0, 0, 0), ("loss", 2.0, 0, 1)]


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x1b[2J"])
def test_a_metric_with_a_bad_name_is_refused(events: list[TaskEvent], name: str) -> None:
    with (
        activate(call(), ENVIRONMENT, events.append) as context,
        pytest.raises(ValueError, match="printable"),
    ):
        context.metric(name, 1.0)
    assert events == []


def test_a_metric_that_is_no_number_is_refused(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context, pytest.raises(ValueError):  # noqa: PT011
        context.metric("loss", "high")  # type: ignore[arg-type]


def test_a_metric_that_is_not_finite_is_logged_and_not_kept(
    events: list[TaskEvent], caplog: pytest.LogCaptureFixture
) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        context.metric("loss", float("nan"))
        context.metric("loss", 1.0)
    assert points(events) == [("loss", 1.0, 1, None)]
    assert "metric loss is nan at step 0: not kept" in caplog.text


def test_what_an_item_changes_in_place_does_not_meet_the_next(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append, index=0) as context:
        context.config["model"]["depth"] = 99
        context.input["n"] = 99
        context.enter_item(1)
        assert context.config == {"model": {"depth": 2}}
        assert context.input == {"n": 4}


def test_input_and_config_are_decoded_once(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        assert context.config is context.config
        assert context.input is context.input


def test_the_wish_to_cancel_is_seen(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        context.request_cancel()
        assert get_run_context().cancelled


@pytest.fixture
def captured_logs():
    handler = ContextLogHandler()
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)


@pytest.mark.usefixtures("captured_logs")
def test_log_records_become_lines_of_the_stage(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append, index=7) as context:
        context.logger.debug("x is %d", 4)
        logging.getLogger("other.library").warning("two\nlines")
    lines = [(e.text, e.level, e.logger, e.index) for e in events if isinstance(e, LogLine)]
    assert lines == [
        ("x is 4", "debug", "flowdapt.stage", 7),
        ("two", "warning", "other.library", 7),
        ("lines", "warning", "other.library", 7),
    ]


@pytest.mark.usefixtures("captured_logs")
def test_the_traceback_of_a_logged_error_comes_along(events: list[TaskEvent]) -> None:
    with activate(call(), ENVIRONMENT, events.append) as context:
        try:
            _ = 1 / 0
        except ZeroDivisionError:
            context.logger.exception("went wrong")
    texts = [e.text for e in events if isinstance(e, LogLine)]
    assert texts[0] == "went wrong"
    assert texts[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.usefixtures("captured_logs")
def test_records_from_outside_a_stage_are_left_alone(events: list[TaskEvent]) -> None:
    logging.getLogger("daemon").warning("not of a stage")
    with activate(call(), ENVIRONMENT, events.append):
        pass
    assert events == []


@pytest.mark.usefixtures("captured_logs")
def test_a_record_that_cannot_be_formatted_does_not_end_the_stage(
    events: list[TaskEvent], capsys: pytest.CaptureFixture[str]
) -> None:
    class Evil:
        def __str__(self) -> str:
            raise RuntimeError("no")

    # pytest's own handler would raise for the bad record; a worker has none.
    logger = logging.getLogger("evil")
    logger.propagate = False
    logger.addHandler(ContextLogHandler())
    with activate(call(), ENVIRONMENT, events.append):
        logger.warning("%s", Evil())
        logger.warning("and on")
    assert [e.text for e in events if isinstance(e, LogLine)] == ["and on"]
    assert "RuntimeError" in capsys.readouterr().err


def test_a_context_costs_less_than_a_few_microseconds(events: list[TaskEvent]) -> None:
    one, count = call(), 2000
    best = min(_time_of(one, events, count) for _ in range(5))
    assert best / count < 20e-6


def _time_of(one: TaskCall, events: list[TaskEvent], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        with activate(one, ENVIRONMENT, events.append):
            pass
    return time.perf_counter() - start
