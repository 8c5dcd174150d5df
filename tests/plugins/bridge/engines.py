"""Engines for tests of the bridge: tasks in threads of the bridge's process, and ones that fail."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from flowdapt.domain.errors import ExecutorUnavailable, MissingObject
from flowdapt.domain.finding import Finding
from flowdapt.domain.handles import handles_of
from flowdapt.plugins.bridge.engine import Engine, Report, Say, State
from flowdapt.plugins.bridge.executor import BridgedExecutor
from flowdapt.ports.executor import Capacity, Scale, WorkerInfo
from flowdapt.runtime.frames import read_message
from flowdapt.runtime.hosted import Hosted

if TYPE_CHECKING:
    from flowdapt.domain.task import Outcome, TaskCall, ValueRef, WorkerEnvironment
    from flowdapt.runtime.pickled import Pickled


class ThreadOptions(BaseModel):
    """`trouble`: what shall go wrong; `folder`: where files that tests wait for lie."""

    trouble: str = ""
    folder: str = ""


class ThreadEngine(Engine):
    """Runs tasks through `Hosted` in threads of the bridge."""

    def __init__(
        self, options: ThreadOptions, environment: WorkerEnvironment, report: Report
    ) -> None:
        self._options = options
        self._environment = environment
        self._report = report
        self._hosted = Hosted(environment)
        self._held: dict[str, Pickled] = {}
        self._lost: asyncio.Event = asyncio.Event()
        self._number = 0

    async def open(self) -> None:
        if self._options.trouble == "refuse":
            raise ExecutorUnavailable("nobody answers", fix="start it")
        if self._options.trouble == "hang":
            await asyncio.sleep(3600)
        if self._options.trouble == "bug":
            raise ZeroDivisionError("a bug")
        (Path(self._options.folder) / "bridge.pid").write_text(str(os.getpid()), encoding="utf-8")
        worker = WorkerInfo("thread-1", "idle", os.getpid(), details={"host": "here"})
        self._report(State(Capacity(None, 2.0, custom={"vllm": 1.0}), (worker,), Scale(1, 1, 4)))

    async def close(self) -> None:
        await asyncio.to_thread(self._hosted.close)
        (Path(self._options.folder) / "closed").touch()

    async def lost(self) -> str:
        await self._lost.wait()
        return "the scheduler is gone"

    async def execute(self, call: TaskCall, say: Say) -> Outcome:
        if call.stage == "bug":
            raise ZeroDivisionError("a bug")
        if call.stage == "unreachable":
            raise ExecutorUnavailable("the cluster went")
        if call.stage == "lose":
            self._lost.set()
            await asyncio.sleep(3600)
        if call.stage == "crash":
            os._exit(1)
        self._number += 1
        handle = f"{call.run.uid}/{call.stage}.{self._number}"
        loop = asyncio.get_running_loop()
        wanted = [handle for ref in call.args for handle in handles_of(ref)]

        def heard(body: bytes) -> None:
            loop.call_soon_threadsafe(say, read_message(body))

        work = loop.run_in_executor(
            None, self._hosted.run, call, {h: self._held[h] for h in wanted}, heard, handle
        )
        try:
            done = await asyncio.shield(work)
        except asyncio.CancelledError:
            self._hosted.cancel(handle)
            await work
            raise
        *events, outcome = read_message(done.message)
        say(events)  # type: ignore[arg-type]
        if done.kept is not None:
            self._held[handle] = done.kept
        return outcome  # type: ignore[return-value]

    async def store(self, ref: ValueRef, name: str) -> ValueRef:
        if ref.handle not in self._held:
            raise MissingObject(f"there is nothing under {ref.handle}")
        if name == "full":
            raise OSError("no room")
        return self._held[ref.handle].write(ref, self._environment.values_root, name)

    def holds(self, handle: str) -> bool:
        return handle in self._held

    def forget(self, run: str) -> None:
        self._held = {h: kept for h, kept in self._held.items() if not h.startswith(f"{run}/")}

    async def check(self) -> list[Finding]:
        if threading.current_thread() is not threading.main_thread():
            return []
        return [Finding(what="reachable", level="ok", words="1 ms")]


class ThreadExecutor(BridgedExecutor):
    """The executor of that engine."""

    kind: ClassVar[str] = "threads"
    options: ClassVar[type[BaseModel] | None] = ThreadOptions
    engine: ClassVar[str] = f"{__name__}:ThreadEngine"


def make(environment: WorkerEnvironment, folder: Path, trouble: str = "") -> Any:
    return ThreadExecutor(ThreadOptions(folder=str(folder), trouble=trouble), environment)
