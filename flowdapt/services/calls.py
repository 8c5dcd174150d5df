"""Build what goes to a worker: the calls of one run, out of its records and its definition."""

from __future__ import annotations

import math

import msgspec

from flowdapt.domain.ledger import Task
from flowdapt.domain.mapping import BUDGET_S
from flowdapt.domain.records import RunRecord, StageRecord
from flowdapt.domain.run import StageType
from flowdapt.domain.task import INLINE_MAX_BYTES, STORE_MAX_BYTES, MapSlice, RunInfo, TaskCall
from flowdapt.domain.workflow import StageSpec, WorkflowSpec
from flowdapt.ports.values import ValueStore

__all__ = ["Calls", "input_lengths"]

# (items of the stage up to, bytes of a chunk's result that may travel inline): what many small
# results of one stage hold in the daemon's memory is bounded.
_SLICE_INLINE_MAX_BYTES = ((64, INLINE_MAX_BYTES), (10_000, 4096), (math.inf, 1024))
_INPUT_MAX_BYTES = 64 * 1024 * 1024
_ANY_BYTES = 1 << 62


async def input_lengths(run: RunRecord, spec: WorkflowSpec, values: ValueStore) -> dict[str, int]:
    """Return how many items lie under the input keys that stages map over; only lists are counted."""
    names = {stage.name for stage in spec.stages}
    keys = {stage.map_on for stage in spec.stages if stage.map_on and stage.map_on not in names}
    if not keys:
        return {}
    text = await values.json_text(run.input, limit_bytes=_INPUT_MAX_BYTES)
    found = msgspec.json.decode(text or b"{}", type=dict[str, object])
    return {key: len(value) for key in keys if isinstance(value := found.get(key), list)}


class Calls:
    """Makes the calls of one run."""

    def __init__(
        self,
        run: RunRecord,
        spec: WorkflowSpec,
        stages: dict[str, StageRecord],
        *,
        start_timeout_s: float = 60.0,
    ) -> None:
        self._start_timeout_s = start_timeout_s
        self._uid = run.uid
        self._epoch = run.epoch
        self._stages = stages
        self._leaves = _leaves(spec)
        self._priority = run.priority
        self._info = _run_info(run)

    def make(
        self, task: Task, spec: StageSpec, *, secrets: dict[str, str], gpu_devices: str
    ) -> TaskCall:
        """Return the call of one task, with its dependencies' results by reference."""
        args = tuple(
            value for name in spec.depends_on if (value := self._stages[name].result) is not None
        )
        mapped = spec.type is StageType.PARAMETERIZED
        return TaskCall(
            run=self._info,
            stage=task.stage,
            target=spec.target,
            task_key=f"{self._uid}/{task.stage}/{task.start}",
            attempt=task.attempt,
            epoch=self._epoch,
            bind="dependencies" if spec.depends_on else "input",
            args=args,
            map=_slice(task, spec) if mapped else None,
            inline_max_bytes=self._inline_max_bytes(task.stage) if mapped else INLINE_MAX_BYTES,
            durable=spec.checkpoint == "always" or task.stage in self._leaves,
            store_max_bytes=self._store_max_bytes(spec),
            isolate=spec.isolate,
            resources=spec.resources.amounts,
            priority=spec.priority + self._priority,
            secrets=secrets,
            gpu_devices=gpu_devices,
            memory_limit_bytes=spec.resources.memory,
            start_timeout_s=self._start_timeout_s,
        )

    def _store_max_bytes(self, spec: StageSpec) -> int:
        """Return up to which size a result is stored before its stage, or its chunk, has finished.

        The results of a run always are; a large result inside it may follow while others go on, and a
        chunk may not: its row is written once.
        """
        if spec.name in self._leaves or spec.checkpoint == "always":
            return _ANY_BYTES
        if spec.checkpoint == "never":
            return 0
        return _ANY_BYTES if spec.type is StageType.PARAMETERIZED else STORE_MAX_BYTES

    def _inline_max_bytes(self, stage: str) -> int:
        total = self._stages[stage].items_total or 0
        return next(size for items, size in _SLICE_INLINE_MAX_BYTES if total <= items)


def _run_info(run: RunRecord) -> RunInfo:
    return RunInfo(
        uid=run.uid,
        name=run.name,
        workflow=run.workflow,
        revision=run.revision,
        namespace=run.namespace,
        executor=run.executor,
        source=run.source,
        input=run.input,
        config=run.config.encode(),
        definition=run.definition.encode(),
        labels=run.labels,
        causation_depth=run.causation_depth,
    )


def _slice(task: Task, spec: StageSpec) -> MapSlice:
    from_input = spec.map_on is not None and spec.map_on not in spec.depends_on
    source = -1 if from_input else spec.depends_on.index(spec.map_on) if spec.map_on else 0
    return MapSlice(
        start=task.start,
        stop=task.stop,
        source=source,
        input_key=spec.map_on or "" if from_input else "",
        budget_s=BUDGET_S,
        stop_on_failure=not spec.allow_partial_failure and spec.retry.max_attempts == 1,
    )


def _leaves(spec: WorkflowSpec) -> frozenset[str]:
    inner = {dependency for stage in spec.stages for dependency in stage.depends_on}
    named = {spec.result} if spec.result else set()
    return frozenset({stage.name for stage in spec.stages} - inner | named)
