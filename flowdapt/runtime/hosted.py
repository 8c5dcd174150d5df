"""Decide how a cluster's worker runs our tasks: in warm processes of its own, one for each task at once.

A body that crashes, hangs or is cancelled costs its own process: the cluster's worker, its threads and
the values that it keeps are unharmed. One `Hosted` per process and environment; any thread may call it.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from flowdapt.domain.task import Finished, Lost
from flowdapt.runtime.areas import Area
from flowdapt.runtime.child import Child
from flowdapt.runtime.descendants import MARK
from flowdapt.runtime.frames import HostedCall, Setup, encode_message
from flowdapt.runtime.held import Copy
from flowdapt.runtime.layout import align
from flowdapt.runtime.pickled import Pickled
from flowdapt.runtime.verdicts import lost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flowdapt.domain.task import Outcome, TaskCall, WorkerEnvironment
    from flowdapt.runtime.layout import Piece

    Say = Callable[[bytes], None]

__all__ = ["Done", "Hosted", "hosted_in"]

IDLE_S = 60.0
_LOOK_EVERY_S = 5.0
# Of the whole process: a mark names one child, whichever environment it is for.
_numbers = itertools.count(1)


class Done(NamedTuple):
    """What became of a task.

    message  the body of a message (`frames.read_message`): what was not said yet, the outcome last.
    kept     the value under the call's handle, when the outcome refers to it.
    """

    message: bytes
    kept: Pickled | None


class Hosted:
    """The processes in which tasks of one environment run on behalf of this process.

    `keeps` False: nothing is lent or kept, large results go to files as on the laptop.
    """

    def __init__(
        self,
        environment: WorkerEnvironment,
        *,
        shares_files: bool = True,
        keeps: bool = True,
        hidden_variables: tuple[str, ...] = ("DASK_", "RAY_"),
    ) -> None:
        self._environment = environment
        self._setup = Setup(environment, hosted=keeps, shares_files=shares_files)
        self._hidden = hidden_variables
        self._lock = threading.Lock()
        self._idle: list[tuple[Child, tuple[str, str]]] = []
        self._running: dict[str, Child | None] = {}
        self._doomed: set[str] = set()
        self._tending = False

    def run(self, call: TaskCall, held: Mapping[str, Pickled], say: Say, handle: str) -> Done:
        """Run one task in this thread until it has ended; user failures and crashes are values.

        `held` are the live copies of its inputs by handle; `say` takes bodies of messages with events
        while it runs; a large result is kept under `handle`, which is also the name for `cancel`.
        Raise ExecutorUnavailable when no process can be started, or an extension keeps them from it.
        """
        with self._lock:
            self._running[handle] = None
        areas: list[Area] = []
        try:
            copies = _copies(held, areas)
            child = self._take(call)
            with self._lock:
                self._running[handle] = child
            outcome, left, area = child.run(
                HostedCall(call, handle, copies),
                lambda events: say(encode_message(events)),
                lambda: handle in self._doomed,
            )
            self._give_back(child, call)
        finally:
            with self._lock:
                self._running.pop(handle, None)
                self._doomed.discard(handle)
        outcome, kept = _kept(call, outcome, area, handle)
        return Done(encode_message([*left, outcome]), kept)

    def cancel(self, handle: str) -> None:
        """Have the task under this handle stopped: asked, signalled, after `grace_s` killed."""
        with self._lock:
            if handle not in self._running:
                return
            child = self._running[handle]
            self._doomed.add(handle)
        if child is not None:
            child.cancel()

    def processes(self) -> dict[str, int]:
        """Return the pids of the processes that run tasks now, by handle."""
        with self._lock:
            return {handle: child.pid for handle, child in self._running.items() if child}

    @property
    def is_unused(self) -> bool:
        """Say whether no process runs or waits for a task."""
        return not (self._running or self._idle)

    def close(self) -> None:
        """End all processes; tasks that run are cancelled."""
        with self._lock:
            idle, self._idle = self._idle, []
            running = list(self._running)
        for child, _ in idle:
            child.close()
        for handle in running:
            self.cancel(handle)

    # -- processes -----------------------------------------------------------------------------------

    def _take(self, call: TaskCall) -> Child:
        """Return a process for the call: warm for it if possible, fresh where it must be."""
        wanted = (call.run.uid, call.stage)
        with self._lock:
            if not (call.isolate or call.gpu_devices):
                fitting = [pair for pair in self._idle if pair[1] == wanted] or self._idle
                while fitting:
                    pair = fitting[-1]
                    self._idle.remove(pair)
                    if pair[0].alive:
                        return pair[0]
                    fitting = self._idle
        return _starter.start(self._start)

    def _start(self) -> Child:
        mark = f"{os.environ.get(MARK, 'cluster:')}{os.getpid()}.{next(_numbers)}:"
        variables = {k: v for k, v in os.environ.items() if not k.startswith(self._hidden)}
        cwd = self._environment.cwd
        return Child(
            self._setup,
            mark=mark,
            variables=variables,
            cwd=cwd if cwd and os.path.isdir(cwd) else None,
        )

    def _give_back(self, child: Child, call: TaskCall) -> None:
        if call.isolate or call.gpu_devices:
            child.close()
        if child.alive:
            with self._lock:
                self._idle.append((child, (call.run.uid, call.stage)))
                tend, self._tending = not self._tending, True
            if tend:
                threading.Thread(target=self._tend, name="flowdapt-tend", daemon=True).start()

    def _tend(self) -> None:
        """Let processes go that had no task for a while."""
        while True:
            time.sleep(min(_LOOK_EVERY_S, IDLE_S))
            limit = time.monotonic() - IDLE_S
            with self._lock:
                old = [pair for pair in self._idle if pair[0].idle_since < limit]
                self._idle = [pair for pair in self._idle if pair not in old]
                if not self._idle:
                    self._tending = False
            for child, _ in old:
                child.close()
            if not self._tending:
                return


class _Starter:
    """A thread that lives as long as the process: children end with the thread that started them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._done = threading.Event()
        self._make: Callable[[], Child] | None = None
        self._made: Child | BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self, make: Callable[[], Child]) -> Child:
        """Make a child on that thread; raise what making it raises."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="flowdapt-start", daemon=True
                )
                self._thread.start()
            self._done.clear()
            self._make = make
            self._asked.set()
            self._done.wait()
            made, self._made = self._made, None
        if isinstance(made, BaseException):
            raise made
        assert made is not None
        return made

    def _serve(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            assert self._make is not None
            try:
                self._made = self._make()
            except BaseException as error:
                self._made = error
            self._done.set()


# One for all: each edit of the user's code makes another environment.
_starter = _Starter()


# -- values ----------------------------------------------------------------------------------------


def _copies(held: Mapping[str, Pickled], areas: list[Area]) -> tuple[Copy, ...]:
    """Lend values to a child: large ones where they lie, all small ones in one area."""
    found: list[Copy] = []
    pieces: list[tuple[int, Piece]] = []
    small: list[tuple[str, Pickled, int, int]] = []
    position = 0
    for handle, kept in held.items():
        area = kept.area()
        if area is not None:
            areas.append(area)
            found.append(Copy(handle, kept.codec, area.path, 0, area.size))
            continue
        own, size = kept.pieces()
        pieces.extend((position + at, piece) for at, piece in own)
        small.append((handle, kept, position, size))
        position = align(position + size)
    if small:
        shared = Area.of(pieces)
        areas.append(shared)
        found += [Copy(name, kept.codec, shared.path, at, size) for name, kept, at, size in small]
    return tuple(found)


def _kept(
    call: TaskCall, outcome: Outcome, area: Area | None, handle: str
) -> tuple[Outcome, Pickled | None]:
    if not isinstance(outcome, Finished) or outcome.value.handle != handle:
        return outcome, None
    if area is not None:
        return outcome, Pickled.in_area(area, outcome.value.codec)
    if outcome.value.kind == "file":
        value = msgspec.structs.replace(outcome.value, handle="")
        return msgspec.structs.replace(outcome, value=value), None
    return Lost("bad_frame", lost(call, "the worker's result did not arrive"), 0), None


_lock = threading.Lock()
_all: dict[tuple[WorkerEnvironment, bool], Hosted] = {}
_KEPT_MAX = 8


def hosted_in(environment: WorkerEnvironment, *, shares_files: bool = True) -> Hosted:
    """Return the one `Hosted` of this process for an environment; unused old ones are forgotten."""
    key = (environment, shares_files)
    with _lock:
        found = _all.pop(key, None) or Hosted(environment, shares_files=shares_files)
        surplus = len(_all) + 1 - _KEPT_MAX
        unused = [old for old, one in _all.items() if one.is_unused]
        for old in unused[: max(surplus, 0)]:
            del _all[old]
        _all[key] = found
        return found
