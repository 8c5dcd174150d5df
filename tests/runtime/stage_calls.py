"""Calls and environments for tests of what runs inside a stage."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from flowdapt.domain.task import RunInfo, TaskCall, ValueRef, WorkerEnvironment
from flowdapt.runtime.context import activate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flowdapt.runtime.context import RunContext


def call(*, namespace: str = "default", stage: str = "fit") -> TaskCall:
    run = RunInfo(
        uid="c" * 32,
        name="calm-otter-00000001",
        workflow="train",
        revision=1,
        namespace=namespace,
        executor="local",
        source="api",
        input=ValueRef(kind="inline", data=b"{}"),
    )
    return TaskCall(run=run, stage=stage, target="m.f", task_key="k", attempt=1, epoch=1)


def environment(root: Path, artifacts_url: str | None = None) -> WorkerEnvironment:
    return WorkerEnvironment(
        values_root=str(root / "values"),
        artifacts_url=artifacts_url or str(root / "artifacts"),
        memory_root=str(root / "memory"),
    )


@contextmanager
def stage(where: WorkerEnvironment, *, namespace: str = "default") -> Iterator[RunContext]:
    with activate(call(namespace=namespace), where, lambda _: None) as context:
        yield context
