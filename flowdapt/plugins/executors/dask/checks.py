"""Decide what a Dask cluster tells of itself before anything runs there: reach, workers, versions, files."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowdapt.domain.finding import Finding
from flowdapt.domain.skew import skew
from flowdapt.domain.wording import amount
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
    probe, word = _write_probe(root)
    try:
        found = await client.run(read_probe, str(probe), on_error="return")
    finally:
        probe.unlink(missing_ok=True)
    return bool(found) and all(read == word for read in found.values())


def _write_probe(root: str) -> tuple[Path, str]:
    Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = Path(root) / f".probe-{os.getpid()}"
    word = secrets.token_hex(16)
    probe.write_text(word, encoding="ascii")
    return probe, word


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
    found.append(_files(options, environment.artifacts_url, shares_files))
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


def _files(options: DaskOptions, artifacts_url: str, shares_files: bool) -> Finding:
    if shares_files:
        return Finding(what="files", level="ok", words="workers see the files of this machine")
    if options.artifacts_url(artifacts_url, shares_files=False):
        words = "workers have files of their own; artifacts lie in a storage that all see"
        return Finding(what="files", level="ok", words=words)
    return Finding(
        what="files",
        level="warning",
        words="workers have files of their own and no storage is set: stages cannot use artifacts",
        code="executor.no_storage",
        fix="name one that all see: --option storage=s3://bucket/folder",
    )
