"""Decide what a retried run takes over from its parent: finished stages, finished chunks, due items."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.graph import Graph
from flowdapt.domain.records import ItemRecord, StageRecord, TaskRecord
from flowdapt.domain.run import RetryRequest, StageState, StageType
from flowdapt.domain.workflow import WorkflowSpec
from flowdapt.ports.store import LoadedRun
from flowdapt.ports.values import ValueStore

__all__ = ["Heritage", "inherit"]


@dataclass(slots=True)
class Heritage:
    """The first records of a run that retries another."""

    stages: list[StageRecord]
    tasks: list[TaskRecord] = field(default_factory=list)
    items: list[ItemRecord] = field(default_factory=list)


async def inherit(
    uid: str, parent: LoadedRun, spec: WorkflowSpec, request: RetryRequest, values: ValueStore
) -> Heritage:
    """Return the records of the new run; files of the parent get a hold of their own."""
    graph = Graph.of({stage.name: stage.depends_on for stage in spec.stages})
    again = _stages_to_run(parent, graph, request)
    # What runs below another one gets new items: what it made of the old ones counts no more.
    same_items = {name for name in again if not graph.ancestors(name) & again}
    heritage = Heritage([])
    for record in parent.stages:
        fresh = StageRecord(record.name, record.position, record.type)
        if record.name not in again:
            fresh = replace(record, inherited=True)
            if record.result is not None:
                fresh.result = (await values.adopt(uid, [record.result]))[0]
        elif record.name in same_items and _keeps_items(record, request):
            await _keep_chunks(uid, parent, record.name, heritage, values)
        heritage.stages.append(fresh)
    return heritage


def _keeps_items(record: StageRecord, request: RetryRequest) -> bool:
    mapped = record.type is StageType.PARAMETERIZED
    return mapped and request.input is None and request.start_from in (None, "failed")


def _stages_to_run(parent: LoadedRun, graph: Graph, request: RetryRequest) -> set[str]:
    start = request.start_from or ("start" if request.input is not None else "failed")
    names = {record.name for record in parent.stages}
    if start == "start":
        return names
    if start == "failed":
        again = {
            record.name
            for record in parent.stages
            if record.state is not StageState.FINISHED or record.items_failed
        }
    elif start in names:
        again = {start} | {r.name for r in parent.stages if r.state is not StageState.FINISHED}
    else:
        raise InvalidInput(
            f"there is no stage {start!r} to start from",
            code="run.unknown_stage",
            fix="use failed, start, or one of: " + ", ".join(sorted(names)),
        )
    return again | graph.descendants(*again)


async def _keep_chunks(
    uid: str, parent: LoadedRun, stage: str, heritage: Heritage, values: ValueStore
) -> None:
    """Take over the finished items of a stage that did not finish: only the others run again."""
    chunks = [
        t
        for t in parent.tasks
        if t.stage == stage and t.state == "finished" and t.value is not None
    ]
    held = await values.adopt(uid, [chunk.value for chunk in chunks if chunk.value is not None])
    heritage.tasks += [replace(c, value=value) for c, value in zip(chunks, held, strict=True)]
    for item in parent.items:
        if item.stage == stage and item.state != "finished":
            heritage.items.append(ItemRecord(stage, item.index, "retrying", 0))
