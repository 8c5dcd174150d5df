"""Run an engine in the bridge's process: one asyncio loop, one task per call, an end with the daemon.

Started as `python -P -m flowdapt.plugins.bridge.process SOCKET PARENT`. What the cluster's library does
to its process, by threads, signals or exits, it does to this one.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flowdapt.domain.errors import ExecutorUnavailable, FlowdaptError, MissingObject
from flowdapt.domain.task import Cancelled, ErrorInfo, Lost
from flowdapt.plugins.bridge import wire
from flowdapt.runtime.descendants import die_with

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from flowdapt.domain.task import TaskCall, TaskEvent, ValueRef
    from flowdapt.plugins.bridge.engine import Engine, State

__all__ = ["Bridge", "main"]

_CLOSE_S = 10.0
_STATE_EVERY_S = 0.25
_COPIES_EVERY_S = 2.0
_CHUNK = 256 * 1024


class Bridge:
    """One engine, and the connection to the daemon that it serves."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopping: set[int] = set()
        self._kept: dict[str, str] = {}
        self._state: State | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    async def serve(self) -> None:
        """Open the engine, serve until the daemon or the cluster is gone, close it."""
        messages = self._messages()
        first = await anext(messages)
        assert isinstance(first, wire.Open)
        engine = _make(first, self._report)
        opening = asyncio.ensure_future(engine.open())
        serving = asyncio.ensure_future(self._serve(engine, messages, opening))
        try:
            await asyncio.wait([opening, serving], return_when=asyncio.FIRST_COMPLETED)
            if await self._opened(opening):
                losing = asyncio.ensure_future(engine.lost())
                watching = asyncio.ensure_future(self._watch_copies(engine))
                await asyncio.wait([losing, serving], return_when=asyncio.FIRST_COMPLETED)
                watching.cancel()
                if losing.done():
                    await self._say_last(wire.Gone(losing.result()))
        finally:
            await _end(opening, serving, *self._tasks.values())
            with suppress(TimeoutError):
                await asyncio.wait_for(engine.close(), _CLOSE_S)

    async def _opened(self, opening: asyncio.Future[None]) -> bool:
        if not opening.done():
            return False  # the daemon went first
        try:
            opening.result()
        except ExecutorUnavailable as error:
            await self._say_last(wire.Gone(error.message, error.fix or ""))
            return False
        except Exception as error:
            traceback.print_exc()
            await self._say_last(wire.Gone(f"{type(error).__name__}: {error}"))
            return False
        self._say(wire.Opened())
        return True

    async def _messages(self) -> Any:
        assembler = wire.Assembler()
        while chunk := await self._reader.read(_CHUNK):
            for body in assembler.feed(chunk):
                yield wire.read_to_bridge(body)

    async def _serve(self, engine: Engine, messages: Any, opening: asyncio.Future[None]) -> None:
        async for message in messages:
            match message:
                case wire.Execute(number, call):
                    self._start(number, self._execute(engine, number, call))
                case wire.Cancel(number):
                    if number in self._tasks:
                        self._stopping.add(number)
                        self._tasks[number].cancel()
                case wire.Store(number, ref, name):
                    self._start(number, self._store(engine, number, ref, name))
                case wire.Check(number):
                    self._start(number, self._check(engine, number))
                case wire.Forget(run):
                    engine.forget(run)
                    self._kept = {h: owner for h, owner in self._kept.items() if owner != run}
                case _:
                    raise AssertionError(message)

    def _start(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks[number] = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._drop(number))

    def _drop(self, number: int) -> None:
        task = self._tasks.pop(number)
        # At the end of the bridge nobody asked: the daemon hears that the cluster is gone.
        if task.cancelled() and number in self._stopping:
            self._say(wire.Ended(number, Cancelled("stopped")))
        self._stopping.discard(number)

    # -- answers -------------------------------------------------------------------------------------

    async def _execute(self, engine: Engine, number: int, call: TaskCall) -> None:
        def say(events: Sequence[TaskEvent]) -> None:
            self._say(wire.Said(number, list(events)))

        try:
            outcome = await engine.execute(call, say)
        except ExecutorUnavailable as error:
            self._say(wire.Answer(number, error="unavailable", words=error.message))
            return
        except Exception as error:
            traceback.print_exc()
            kind = "flowdapt.BridgeFailed"
            words = f"the bridge to the cluster failed: {type(error).__name__}: {error}"
            outcome = Lost("bridge", ErrorInfo(kind, words, stage=call.stage, bases=(kind,)))
        value = getattr(outcome, "value", None)
        if value is not None and value.handle:
            self._kept[value.handle] = call.run.uid
        self._say(wire.Ended(number, outcome))

    async def _store(self, engine: Engine, number: int, ref: ValueRef, name: str) -> None:
        try:
            self._say(wire.Answer(number, ref=await engine.store(ref, name)))
        except MissingObject as error:
            self._say(wire.Answer(number, error="missing", words=error.message))
        except FlowdaptError as error:
            self._say(wire.Answer(number, error="unavailable", words=error.message))
        except OSError as error:
            self._say(wire.Answer(number, error="os", words=str(error)))
        except Exception as error:
            traceback.print_exc()
            words = f"{type(error).__name__}: {error}"
            self._say(wire.Answer(number, error="unavailable", words=words))

    async def _check(self, engine: Engine, number: int) -> None:
        try:
            rows = [row.model_dump() for row in await engine.check()]
            self._say(wire.Answer(number, findings=rows))
        except Exception as error:
            words = error.message if isinstance(error, FlowdaptError) else repr(error)
            self._say(wire.Answer(number, error="unavailable", words=words))

    # -- what is told unasked ------------------------------------------------------------------------

    def _report(self, state: State) -> None:
        """Tell a state; of several in a short time the last one."""
        self._state = state
        if self._telling is None:
            wait = max(self._told_at + _STATE_EVERY_S - time.monotonic(), 0)
            self._telling = asyncio.get_running_loop().call_later(wait, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._told_at = time.monotonic()
        if self._state is not None:
            self._say(wire.Told(self._state))

    async def _watch_copies(self, engine: Engine) -> None:
        """Tell which live copies are gone."""
        while True:
            await asyncio.sleep(_COPIES_EVERY_S)
            gone = [handle for handle in self._kept if not engine.holds(handle)]
            if gone:
                for handle in gone:
                    del self._kept[handle]
                self._say(wire.Lacking(gone))

    def _say(self, message: wire.FromBridge) -> None:
        self._writer.write(wire.pack(message))

    async def _say_last(self, message: wire.FromBridge) -> None:
        self._say(message)
        with suppress(OSError):
            await self._writer.drain()


def _make(first: wire.Open, report: Any) -> Engine:
    options = _find(first.model).model_validate_json(first.options)
    made: Engine = _find(first.engine)(options, first.environment, report)
    return made


def _find(name: str) -> Any:
    """Return what an import string names: an executor's own code, which its class names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


async def _end(*tasks: asyncio.Future[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _main(descriptor: int) -> None:
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=_CHUNK)
    await Bridge(reader, writer).serve()


def main() -> None:
    """Serve the socket whose descriptor the command line names."""
    descriptor, parent = (int(word) for word in sys.argv[1:3])
    die_with(parent)
    try:
        asyncio.run(_main(descriptor))
    except BaseException:
        traceback.print_exc()
    # Threads of the library must not keep a process whose work is done.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
