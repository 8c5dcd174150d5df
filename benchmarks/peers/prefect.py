"""Prefect 3: flows in the caller's process, told to its own API server on SQLite.

The flows are async: a sync one ends by waiting up to a second for the thread that sends its heartbeats.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import stages
from benchmarks.peers.measuring import Peer, main
from benchmarks.peers.processes import free_port, program, server, wait_for_http
from benchmarks.timing import now


class Prefect(Peer):
    """Prefect with its server; the quickest way to run a flow, without deployment and work pool."""

    name = "prefect"
    packages = ("prefect", "fastapi")
    kept = "SQLite; a server, and threads or processes of the caller"
    in_process = False
    _flows: dict[str, Any] | None = None

    def start(self, folder: Path) -> list[int]:
        self._open = ExitStack()
        port = free_port()
        os.environ |= {
            "PREFECT_HOME": str(folder),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
        command = [program("prefect"), "server", "start", "--host", "127.0.0.1"]
        process = self._open.enter_context(server([*command, "--port", str(port)], folder))
        wait_for_http(process, port, "/api/health")
        return [process.pid]

    def stop(self) -> None:
        self._open.close()

    def one_run(self) -> object:
        return self._run("noop")

    def chain(self) -> object:
        return self._run("chain")

    def items(self, count: int) -> object:
        return self._run("items", count)

    def array(self) -> object:
        return self._run("array")

    def burn(self) -> object:
        return self._run("burn", 8)

    def many_runs(self, count: int, in_flight: int, until: float) -> int:
        return asyncio.run(_together(self._defined()["noop"], count, in_flight, until))

    def _run(self, name: str, *given: object) -> object:
        return asyncio.run(self._defined()[name](*given))

    def _defined(self) -> dict[str, Any]:
        # Imported late: Prefect reads its settings, the server's address too, when it is imported.
        if self._flows is None:
            self._flows = _define()
        return self._flows


async def _together(flow: Any, count: int, in_flight: int, until: float) -> int:
    slots = asyncio.Semaphore(in_flight)

    async def one() -> bool:
        async with slots:
            if now() > until:
                return False
            await flow()
            return True

    return sum(await asyncio.gather(*[one() for _ in range(count)]))


def _define() -> dict[str, Any]:
    from prefect import flow, task
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    # Neither caches nor stores results: as quick as it can be.
    light = {"cache_policy": None, "persist_result": False}
    nothing, increment = task(stages.nothing, **light), task(stages.increment, **light)
    numbers, burn = task(stages.numbers, **light), task(stages.burn, **light)
    make, total = task(stages.make_array, **light), task(stages.sum_array, **light)

    @flow
    async def noop() -> int:
        return nothing()

    @flow
    async def chain() -> int:
        value = nothing()
        for _ in range(19):
            value = nothing(value)
        return value

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=16))
    async def items(count: int) -> list[int]:
        return [future.result() for future in increment.map(numbers(count))]

    @flow
    async def array() -> float:
        return total(make())

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    async def burn_all(count: int) -> list[int]:
        return [future.result() for future in burn.map(numbers(count))]

    return {"noop": noop, "chain": chain, "items": items, "array": array, "burn": burn_all}


if __name__ == "__main__":
    main(Prefect())
