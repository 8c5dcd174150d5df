"""Run one stage in a test: real context and binding, artifacts and objects of its own, nothing left behind.

For whole workflows there is `flowdapt.execute_workflow`.
"""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flowdapt.domain.task import (
    LogLine,
    MetricPoint,
    Progress,
    RunInfo,
    TaskCall,
    ValueRef,
    WorkerEnvironment,
)
from flowdapt.runtime.binding import bind_dependencies, bind_input, parameters_of
from flowdapt.runtime.context import activate
from flowdapt.runtime.stage_logs import ContextLogHandler

if TYPE_CHECKING:
    from flowdapt.domain.task import TaskEvent
    from flowdapt.runtime.context import RunContext

__all__ = ["StageBench", "StageReport", "run_stage"]


@dataclass(slots=True)
class StageReport:
    """What a stage returned and said.

    `metrics` holds (step, value) pairs by name, `progress` the reports that left (at most ten a
    second, the last one always), `logs` the lines of its loggers.
    """

    value: Any = None
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    progress: list[Progress] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)

    def take(self, event: TaskEvent) -> None:
        """Sort an event of the stage into its list."""
        if isinstance(event, MetricPoint):
            self.metrics.setdefault(event.name, []).append((event.step, event.value))
        elif isinstance(event, Progress):
            self.progress.append(event)
        elif isinstance(event, LogLine):
            self.logs.append(event)


class StageBench:
    """A place where stages run one after the other and share artifacts and objects.

    Its files lie in a temporary folder that goes with it. `namespace` is that of all its stages.
    """

    def __init__(self, *, namespace: str = "default") -> None:
        folder = tempfile.mkdtemp(prefix="flowdapt-bench-")
        self.close = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.namespace = namespace
        self._environment = WorkerEnvironment(
            values_root=f"{folder}/values",
            artifacts_url=f"{folder}/artifacts",
            memory_root=f"{folder}/memory",
        )

    def __enter__(self) -> StageBench:  # noqa: PYI034  (not made to be derived from)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        input: Mapping[str, Any] | None = None,  # noqa: A002  (the word of the workflow's documents)
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        index: int | None = None,
        attempt: int = 1,
    ) -> StageReport:
        """Call a stage as a worker would and report; what it raises comes out as it is.

        `args` stand for the results of its dependencies, in order; without any the parameters take
        the run's `input` by name. An `async def` stage is awaited.
        """
        report = StageReport()
        name = getattr(function, "__name__", "stage")
        call = _call(name, self.namespace, input or {}, config or {}, secrets or {}, attempt)
        with (
            _logs_captured(),
            activate(call, self._environment, report.take, index=index) as context,
        ):
            report.value = _finished(_called(function, args, dict(input or {}), context))
        return report

    @contextmanager
    def stage(self) -> Iterator[RunContext]:
        """Be inside a stage for a `with` block: `artifacts` and `objects` work there, as in a stage."""
        call = _call("test", self.namespace, {}, {}, {}, 1)
        with activate(call, self._environment, lambda _: None) as context:
            yield context


def run_stage(
    function: Callable[..., Any],
    *args: Any,
    input: Mapping[str, Any] | None = None,  # noqa: A002  (the word of the workflow's documents)
    config: Mapping[str, Any] | None = None,
    namespace: str = "default",
    secrets: Mapping[str, str] | None = None,
    index: int | None = None,
    attempt: int = 1,
) -> StageReport:
    """Run one stage on a bench of its own: see `StageBench.run`. Its artifacts are gone afterwards."""
    with StageBench(namespace=namespace) as bench:
        return bench.run(
            function,
            *args,
            input=input,
            config=config,
            secrets=secrets,
            index=index,
            attempt=attempt,
        )


def _call(
    stage: str,
    namespace: str,
    given: Mapping[str, Any],
    config: Mapping[str, Any],
    secrets: Mapping[str, str],
    attempt: int,
) -> TaskCall:
    uid = uuid.uuid4().hex
    run = RunInfo(
        uid=uid,
        name=f"test-{stage}-{uid[-8:]}",
        workflow="test",
        revision=1,
        namespace=namespace,
        executor="test",
        source="manual",
        input=ValueRef(kind="inline", data=json.dumps(given).encode()),
        config=json.dumps(config).encode(),
    )
    key = f"{uid}/{stage}"
    return TaskCall(run, stage, "test.stage", key, attempt, 1, secrets=dict(secrets))


def _called(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    given: dict[str, Any],
    context: RunContext,
) -> Any:
    parameters = parameters_of(function)
    if args:
        bound = bind_dependencies(parameters, list(args), context)
    else:
        bound = bind_input(parameters, given, context)
    return function(*bound.before, *bound.after, **bound.keywords)


def _finished(result: Any) -> Any:
    if not inspect.iscoroutine(result):
        return result
    import asyncio

    return asyncio.run(result)


@contextmanager
def _logs_captured() -> Iterator[None]:
    handler, root = ContextLogHandler(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    # As in a worker, which keeps what a library tells at info.
    root.setLevel(min(level, logging.INFO))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
