"""A local executor to try poison on, and what is seen of processes from outside."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.task import WorkerEnvironment
from flowdapt.plugins.executors.local import LocalExecutor, LocalOptions
from flowdapt.testing.executor_calls import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HERE = Path(__file__).parent


def environment(folder: Path, **more: Any) -> WorkerEnvironment:
    return WorkerEnvironment(
        values_root=str(folder / "values"),
        artifacts_url=str(folder / "artifacts"),
        memory_root=str(folder / "memory"),
        user_modules=str(folder / "user_modules"),
        python_path=(str(HERE),),
        **more,
    )


@asynccontextmanager
async def local(
    folder: Path, *, patience_s: float = 60.0, output: int = 16 * 1024 * 1024, **options: Any
) -> AsyncIterator[Bench]:
    where = environment(folder, max_output_bytes=output)
    executor = LocalExecutor(LocalOptions(**{"slots": 2, **options}), where)
    with trio.fail_after(patience_s):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: executor.run(task_status=task_status))
            yield Bench(executor, where, "run-1")
            nursery.cancel_scope.cancel()


def poison(name: str) -> str:
    return f"poison.{name}"


def lives(pid: int) -> bool:
    """Say whether a process runs: a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


def children_of(pid: int) -> list[int]:
    """Return the living processes whose parent a process is."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] not in (b"Z", b"X"):
                found.append(int(entry.name))
    return found


async def soon(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Wait until something is true, or fail at the deadline."""
    with trio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110  (processes and files have no event)
            await trio.sleep(0.01)
    assert condition(), f"not within {seconds} s: {what}"


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
