"""Decide what a Ray cluster tells of itself before anything runs there: reach, nodes, versions, files."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flowdapt.domain.finding import Finding
from flowdapt.domain.skew import skew
from flowdapt.domain.wording import amount
from flowdapt.plugins.bridge.files import files_row, probe_in
from flowdapt.plugins.bridge.travelling import code_rows
from flowdapt.plugins.executors.ray.remote import look
from flowdapt.plugins.executors.ray.session import in_thread
from flowdapt.plugins.executors.ray.shares import Labels
from flowdapt.runtime.bundle import plugin_sources
from flowdapt.runtime.facts import facts
from flowdapt.runtime.lending import machine_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.plugins.executors.ray.options import RayOptions
    from flowdapt.plugins.executors.ray.shares import Node

__all__ = ["machines", "rows", "sees_files"]

_GIB = 1024**3
_LOOK_S = 20.0
# One node of each kind would do; of a large cluster the first ones stand for the rest.
_LOOKS_MAX = 16

Seen = dict[str, tuple[dict[str, Any], str] | None]


async def sees_files(root: str, options: RayOptions, nodes: Iterable[str]) -> bool:
    """Say whether every node sees the values' root; a file there tells."""
    if options.shares_files != "auto":
        return options.shares_files == "true"
    if not options.address:
        return True
    with probe_in(root) as (probe, word):
        seen = await _look_from(nodes, probe)
    return bool(seen) and all(found is not None and found[1] == word for found in seen.values())


async def machines(nodes: Iterable[str], path: str, inode: int) -> dict[str, str]:
    """Return on which machine each node stands, as far as they answer and can open that memory."""
    seen = await _ask_from(nodes, ray.remote(machine_with), path, inode)
    return {node: told for node, told in seen.items() if isinstance(told, str)}


async def _look_from(nodes: Iterable[str], probe: str = "") -> Seen:
    """Look from each node; None: nothing of flowdapt can be run there, or it takes too long."""
    return await _ask_from(nodes, ray.remote(look), probe)


async def _ask_from(nodes: Iterable[str], function: Any, *args: Any) -> dict[str, Any]:
    async def one(node: str) -> Any:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        asked = function.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        try:
            async with asyncio.timeout(_LOOK_S):
                return await asked.remote(*args)
        except Exception:
            return None

    chosen = list(nodes)[:_LOOKS_MAX]
    return dict(zip(chosen, await asyncio.gather(*map(one, chosen)), strict=True))


async def rows(
    options: RayOptions,
    environment: WorkerEnvironment,
    nodes: Mapping[str, Node],
    *,
    shares_files: bool,
) -> list[Finding]:
    """Return the rows of the preflight."""
    began = time.perf_counter()
    await in_thread(ray.nodes)
    took_ms = (time.perf_counter() - began) * 1000
    where = options.address or "Ray on this machine"
    found = [Finding(what="reachable", level="ok", words=f"{where} answers in {took_ms:.0f} ms")]
    found.append(_nodes(nodes))
    seen = await _look_from(nodes)
    told = {name: about[0] if about else None for name, about in seen.items()}
    if told:
        travelling = () if shares_files else plugin_sources()
        found += skew(facts(), told, ("ray",), travelling=travelling)
    found.append(files_row(options, environment.artifacts_url, shares_files=shares_files))
    if not shares_files:
        found += await code_rows(environment)
    return found


def _nodes(nodes: Mapping[str, Node]) -> Finding:
    labels = Labels(list(nodes.values()))
    if not labels.total("CPU"):
        return Finding(
            what="workers",
            level="warning",
            words="the cluster has no CPUs now: tasks wait for a node",
            code="executor.no_workers",
            fix="add nodes, or let the cluster scale",
        )
    memory = labels.total("memory") / _GIB
    words = [amount(len(nodes), "node"), f"{labels.total('CPU'):g} CPUs", f"{memory:.1f} GiB"]
    if labels.total("GPU"):
        words.append(f"{labels.total('GPU'):g} GPUs")
    words += [f"{total:g} {name}" for name, total in labels.custom().items()]
    return Finding(what="workers", level="ok", words=", ".join(words))
