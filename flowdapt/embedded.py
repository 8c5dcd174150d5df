"""Run a workflow in this process, with no daemon: for tests and notebooks.

The same machine, driver, binding and validation as on the daemon, over a store in memory, a temporary
folder for values, and an executor that calls the functions here. Nothing outlives the call but its
result.
"""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sniffio
import trio

from flowdapt.domain.documents import read
from flowdapt.domain.errors import FlowdaptError, InvalidInput
from flowdapt.domain.resource import Resource
from flowdapt.domain.run import Run, RunRequest, RunState
from flowdapt.domain.task import WorkerEnvironment
from flowdapt.plugins.brokers.inprocess import InProcessBroker
from flowdapt.plugins.executors.inprocess import InProcessExecutor
from flowdapt.runtime.values import decode
from flowdapt.services.clock import SystemClock
from flowdapt.services.compute import Compute
from flowdapt.services.driver import DriverTools
from flowdapt.services.given import GivenExecutors
from flowdapt.services.resources import Resources
from flowdapt.services.runs import Runs
from flowdapt.stores.logs import FileLogStore
from flowdapt.stores.memory import MemoryStore
from flowdapt.stores.values import FileValueStore

__all__ = ["WorkflowFailed", "execute_workflow", "execute_workflow_async"]

_EXECUTOR = "inprocess"
_LOOK_S = 3600.0

WorkflowSource = Mapping[str, Any] | Resource | Path | Sequence[Mapping[str, Any] | Resource]


class WorkflowFailed(FlowdaptError):
    """The run did not finish; `run` is the whole record, the message ends with the user's traceback."""

    code = "run.failed"

    def __init__(self, run: Run) -> None:
        error = run.error
        where = f" at stage {error.stage!r}" if error and error.stage else ""
        item = f" item {error.index}" if error and error.index is not None else ""
        what = f": {error.type}: {error.message}\n{error.traceback}" if error else ""
        super().__init__(f"workflow {run.workflow!r} {run.state}{where}{item}{what}")
        self.run = run


def execute_workflow(
    workflow: WorkflowSource,
    input: Mapping[str, Any] | None = None,  # noqa: A002  (the word of the documents)
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    namespace: str = "default",
    user_modules: Path | str | None = None,
    artifacts_url: str | None = None,
    slots: int | None = None,
) -> Any:
    """Run a workflow here and return its result. Not to be awaited; works beside a running loop.

    `workflow` is a document, a Resource, a file of documents, or several documents (configs among
    them); `name` says which workflow when there is more than one. Targets may be functions.
    `config` is merged over what the documents' configs give. Raise InvalidDocument, InvalidInput,
    and WorkflowFailed when the run fails.
    """
    # A failing test shows its own lines and the stage's traceback, not ours between them.
    __tracebackhide__ = True
    job = _Job(
        _documents(workflow),
        dict(input or {}),
        name,
        dict(config or {}),
        namespace,
        str(user_modules or ""),
        artifacts_url,
        slots,
    )
    return _in_own_thread(lambda: trio.run(job.run)) if _loop_runs() else trio.run(job.run)


async def execute_workflow_async(workflow: WorkflowSource, *args: Any, **options: Any) -> Any:
    """Do what `execute_workflow` does, from asyncio or trio, without blocking the loop."""
    work = functools.partial(execute_workflow, workflow, *args, **options)
    if sniffio.current_async_library() == "trio":
        return await trio.to_thread.run_sync(work)
    import asyncio

    return await asyncio.to_thread(work)


@dataclass(slots=True)
class _Job:
    """One call: everything it needs is built, used and thrown away in `run`."""

    documents: list[Any]
    input: dict[str, Any]
    name: str | None
    config: dict[str, Any]
    namespace: str
    user_modules: str
    artifacts_url: str | None
    slots: int | None

    async def run(self) -> Any:
        __tracebackhide__ = True
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowdapt-")))
            environment = self._environment(folder)
            executor = InProcessExecutor(environment, slots=self.slots)
            store, broker = MemoryStore(SystemClock()), InProcessBroker()
            await store.open()
            resources = Resources(store=store, broker=broker)
            name = await self._apply(resources, executor)
            logs = stack.enter_context(_closing(FileLogStore(folder / "values")))
            tools = DriverTools(
                store, broker, logs, FileValueStore(folder / "values"), SystemClock()
            )
            executors = GivenExecutors({_EXECUTOR: executor})
            compute = Compute(tools, executors, owner="embedded")
            runs = Runs(
                store=store,
                broker=broker,
                values=tools.values,
                logs=logs,
                clock=tools.clock,
                catalog=resources,
                engine=compute,
                executors=executors,
            )
            run = await self._served(executor, compute, runs, name)
            if run.state is not RunState.FINISHED:
                raise WorkflowFailed(run)
            record = await store.get_run(run.uid)
            return decode(record.result, environment.values_root) if record.result else None

    async def _served(
        self, executor: InProcessExecutor, compute: Compute, runs: Runs, name: str
    ) -> Run:
        # What is wrong with the request must come out as itself, not inside a nursery's group.
        outcome: list[Run | FlowdaptError] = []
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: executor.run(task_status=task_status))
            await nursery.start(lambda task_status: compute.run(task_status=task_status))
            try:
                outcome.append(await self._run_to_its_end(runs, name))
            except FlowdaptError as error:
                outcome.append(error)
            nursery.cancel_scope.cancel()
        if isinstance(outcome[0], FlowdaptError):
            raise outcome[0]
        return outcome[0]

    def _environment(self, folder: Path) -> WorkerEnvironment:
        for part in ("values", "artifacts", "memory"):
            (folder / part).mkdir(mode=0o700)
        return WorkerEnvironment(
            values_root=str(folder / "values"),
            artifacts_url=self.artifacts_url or f"file://{folder / 'artifacts'}",
            memory_root=str(folder / "memory"),
            user_modules=self.user_modules,
            extensions=_extensions(),
        )

    async def _apply(self, resources: Resources, executor: InProcessExecutor) -> str:
        documents = [_with_targets(document, executor.register) for document in self.documents]
        names = [d["metadata"]["name"] for d in documents if _is_workflow(d)]
        if self.name is None and len(names) != 1:
            raise InvalidInput(
                f"there are {len(names)} workflows: {', '.join(names) or 'none'}",
                code="run.which_workflow",
                fix="say which one with name=",
            )
        name = self.name or names[0]
        if self.config:
            selector = {"type": "name", "value": name}
            spec = {"selector": selector, "data": self.config}
            documents.append({"kind": "config", "metadata": {"name": "zz-given"}, "spec": spec})
        await resources.apply(documents)
        return name

    async def _run_to_its_end(self, runs: Runs, name: str) -> Run:
        request = RunRequest(input=self.input, namespace=self.namespace)
        run, _ = await runs.submit(name, request, source="manual", wait_s=_LOOK_S)
        while not run.state.terminal:
            run = await runs.wait(run.uid, timeout_s=_LOOK_S)
        return run


@functools.cache
def _extensions() -> tuple[str, ...]:
    """Return what installed plugins declare for workers: their formats work here as on a daemon."""
    from flowdapt.plugins.manager import Plugins

    return Plugins().worker_extensions()


def _documents(source: WorkflowSource) -> list[Any]:
    if isinstance(source, Path):
        documents, problems = read(source.read_text(), source=str(source))
        if problems:
            raise InvalidInput(problems[0].message, code=problems[0].code, problems=problems)
        return [document.value for document in documents]
    if isinstance(source, Resource | Mapping):
        return [_plain(source)]
    return [_plain(one) for one in source]


def _plain(document: Mapping[str, Any] | Resource) -> Any:
    if isinstance(document, Resource):
        return document.model_dump(mode="json", exclude_none=True)
    return document


def _is_workflow(document: Any) -> bool:
    return str(document.get("kind", "")).lower().rstrip("s") == "workflow"


def _with_targets(document: Any, register: Callable[[Callable[..., Any]], str]) -> Any:
    """Return the document with functions replaced by names that the executor knows."""
    stages = document.get("spec", {}).get("stages") if isinstance(document, Mapping) else None
    if not isinstance(stages, Sequence):
        return document
    named = [
        {**stage, "target": register(stage["target"])}
        if isinstance(stage, Mapping) and callable(stage.get("target"))
        else stage
        for stage in stages
    ]
    return {**document, "spec": {**document["spec"], "stages": named}}


@contextmanager
def _closing(logs: FileLogStore) -> Iterator[FileLogStore]:
    try:
        yield logs
    finally:
        logs.close()


def _loop_runs() -> bool:
    """Say whether this thread runs an event loop, under which `trio.run` cannot start another."""
    try:
        sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return False
    return True


def _in_own_thread(work: Callable[[], Any]) -> Any:
    answer: list[Any] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            answer.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target, name="flowdapt-embedded")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]
