"""Run one Dask worker of a cluster started here, in a process that ends with the bridge.

Started as `python -P -m flowdapt.plugins.executors.dask.node PARENT`; what it is told comes on stdin,
for it holds the key of the cluster.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from flowdapt.runtime.descendants import die_with

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONFIG", "LOOPBACK", "NodeSpec", "main", "pass_values"]

# No pages, nothing that runs beside the tasks, short logs: this cluster serves one daemon.
CONFIG: Mapping[str, Any] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.low-level-log-length": 1000,
}
LOOPBACK = "127.0.0.1"


class NodeSpec(msgspec.Struct, frozen=True):
    """One worker: whom it serves, by which certificates, what it has."""

    scheduler: str
    name: str
    security: dict[str, str]
    resources: dict[str, float]
    memory_bytes: int
    folder: str


async def _serve(spec: NodeSpec) -> None:
    import dask
    from distributed import Worker
    from distributed.security import Security

    logging.getLogger("distributed").setLevel(logging.WARNING)
    pass_values(by_name=True)
    with dask.config.set(dict(CONFIG)):
        async with Worker(
            spec.scheduler,
            name=spec.name,
            nthreads=1,
            host=LOOPBACK,
            dashboard=False,
            dashboard_address=f"{LOOPBACK}:0",
            security=Security(require_encryption=True, **spec.security),
            resources=spec.resources,
            memory_limit=spec.memory_bytes,
            local_directory=spec.folder,
        ) as worker:
            await worker.finished()


def pass_values(*, by_name: bool) -> None:
    """Hand values to the other workers without their bytes where all are here; to the disk with them."""
    import distributed.spill

    from flowdapt.runtime import lending

    # The one place from where Dask writes values to the disk; it offers no other hook.
    spill: Any = distributed.spill
    write = spill.serialize_bytelist

    @functools.wraps(write)
    def write_whole(*args: Any, **more: Any) -> Any:
        with lending.whole():
            return write(*args, **more)

    if not hasattr(write, "__wrapped__"):
        spill.serialize_bytelist = write_whole
    lending.pass_by_name(by_name)


def main() -> None:
    """Serve until the scheduler lets the worker go."""
    die_with(int(sys.argv[1]))
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=NodeSpec)
    asyncio.run(_serve(spec))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
