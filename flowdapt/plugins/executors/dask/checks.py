"""Decide what a Dask cluster tells of itself before anything runs there: reach, workers, versions, files."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flowdapt.domain.finding import Finding
from flowdapt.domain.skew import skew
from flowdapt.domain.wording import amount
from flowdapt.plugins.bridge.files import files_row, probe_in
from flowdapt.plugins.bridge.travelling import code_rows
from flowdapt.plugins.executors.dask.remote import read_probe
from flowdapt.plugins.executors.dask.shares import Labels
from flowdapt.runtime.bundle import plugin_sources
from flowdapt.runtime.facts import facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distributed import Client

    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.plugins.executors.dask.options import DaskOptions

__all__ = ["rows", "sees_files"]

_GIB = 1024**3


async def sees_files(client: Client, root: str, options: DaskOptions, started_here: bool) -> bool:
    """Say whether every worker sees the values' root; a file there tells."""
    if options.shares_files != "auto":
        return options.shares_files == "true"
    if started_here:
        return True
    with probe_in(root) as (probe, word):
        found = await client.run(read_probe, probe, on_error="return")
    return bool(found) and all(read == word for read in found.values())


async def rows(
    client: Client, options: DaskOptions, environment: WorkerEnvironment, *, shares_files: bool
) -> list[Finding]:
    """Return the rows of the preflight."""
    assert client.scheduler is not None
    began = time.perf_counter()
    identity = await client.scheduler.identity(n_workers=-1)
    took_ms = (time.perf_counter() - began) * 1000
    where = identity["address"]
    found = [Finding(what="reachable", level="ok", words=f"{where} answers in {took_ms:.0f} ms")]
    workers: Mapping[str, Mapping[str, Any]] = identity["workers"]
    found.append(_workers(workers))
    told = await _facts(client)
    if told:
        travelling = () if shares_files else plugin_sources()
        found += skew(facts(), told, ("dask", "distributed"), travelling=travelling)
    found.append(files_row(options, environment.artifacts_url, shares_files=shares_files))
    if not shares_files:
        found += await code_rows(environment)
    return found


async def _facts(client: Client) -> dict[str, dict[str, Any] | None]:
    answers: dict[str, Any] = {}
    with suppress(OSError):
        answers = await client.run(facts, on_error="return")
    return {name: told if isinstance(told, dict) else None for name, told in answers.items()}


def _workers(workers: Mapping[str, Mapping[str, Any]]) -> Finding:
    if not workers:
        return Finding(
            what="workers",
            level="warning",
            words="the cluster has no workers now: tasks wait for one",
            code="executor.no_workers",
            fix="start workers, or let the cluster scale",
        )
    threads = sum(int(about.get("nthreads", 1)) for about in workers.values())
    memory = sum(int(about.get("memory_limit") or 0) for about in workers.values())
    labels = Labels(workers)
    words = [amount(len(workers), "worker"), amount(threads, "thread"), f"{memory / _GIB:.1f} GiB"]
    if labels.gpus():
        words.append(f"{labels.gpus():g} GPUs")
    words += [f"{total:g} {name}" for name, total in labels.custom().items()]
    return Finding(what="workers", level="ok", words=", ".join(words))
