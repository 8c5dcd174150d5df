"""Decide what stage code sees of its run: input, config, identity, logger, progress, metrics, secrets.

Lazy throughout, since a context is made for every task. Where the events go is the worker's affair:
it passes `emit`, which must be callable from any thread.
"""

from __future__ import annotations

import json
import logging
import math
import time
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flowdapt.domain.errors import OutsideStage
from flowdapt.domain.task import MetricPoint, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from flowdapt.domain.task import RunInfo, TaskCall, TaskEvent, WorkerEnvironment

    Emit = Callable[[TaskEvent], None]

__all__ = ["RunContext", "RunIdentity", "activate", "find_run_context", "get_run_context"]

# A bar is redrawn a few times a second: more reports than that are only traffic.
PROGRESS_EVERY_S = 0.1
METRIC_NAME_MAX = 200

_stage_logger = logging.getLogger("flowdapt.stage")
# Every level is kept; who reads the log chooses.
_stage_logger.setLevel(logging.DEBUG)
_current: ContextVar[RunContext | None] = ContextVar("flowdapt_run_context", default=None)
_active: dict[int, RunContext] = {}


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which run this is. `source` says what started it (api, trigger, manual)."""

    uid: str
    name: str
    workflow: str
    revision: int
    namespace: str
    executor: str
    source: str
    labels: Mapping[str, str]


class RunContext:
    """What a stage knows of its run. Get it with `get_run_context()`.

    `stage`, `attempt` (from 1) and `index` (position in a parameterized stage, else None) say where
    we are; `namespace` and `executor` are names; `environment` says where values, memory and
    artifacts lie.
    """

    __slots__ = (
        "_cache",
        "_call",
        "_cancelled",
        "_emit",
        "_progress_at",
        "_progress_held",
        "_steps",
        "attempt",
        "environment",
        "executor",
        "index",
        "namespace",
        "stage",
    )

    def __init__(
        self, call: TaskCall, environment: WorkerEnvironment, emit: Emit, index: int | None
    ) -> None:
        self._call = call
        self._emit = emit
        self._cache: dict[str, Any] = {}
        self._steps: dict[str, int] = {}
        self._cancelled = False
        self._progress_at = -math.inf
        self._progress_held: Progress | None = None
        self.environment = environment
        self.stage = call.stage
        self.attempt = call.attempt
        self.index = index
        self.namespace = call.run.namespace
        self.executor = call.run.executor

    def __repr__(self) -> str:
        return f"<RunContext {self.task_key} attempt {self.attempt} of run {self._call.run.name}>"

    # -- what there is to read -------------------------------------------------------------------

    @property
    def input(self) -> Any:
        """The run's input, usually a mapping by parameter name; decoded at first use."""
        return self._once("input", lambda: _decode_input(self._call.run, self.environment))

    @property
    def config(self) -> dict[str, Any]:
        """The merged configs that matched the workflow when the run was submitted."""
        return self._json("config", self._call.run.config)

    @property
    def definition(self) -> dict[str, Any]:
        """The workflow's `spec` as it was when the run was submitted."""
        return self._json("definition", self._call.run.definition)

    @property
    def run(self) -> RunIdentity:
        """Which run this is: uid, name, workflow, revision, source, labels."""
        identity: RunIdentity = self._once("run", lambda: _identity(self._call.run))
        return identity

    @property
    def task_key(self) -> str:
        """`run/stage` or `run/stage/index`, the same in every attempt: a key for outside effects."""
        if self.index is None:
            return self._call.task_key
        return f"{self._call.run.uid}/{self.stage}/{self.index}"

    @property
    def secrets(self) -> Mapping[str, str]:
        """The secrets that the stage declares, and no other. Masked in all that it prints."""
        return MappingProxyType(self._call.secrets)

    @property
    def cancelled(self) -> bool:
        """True when the run wants to end: a long loop may look, tidy up and return."""
        return self._cancelled

    @property
    def logger(self) -> logging.Logger:
        """A logger of the standard library; its records become the run's log lines."""
        return _stage_logger

    # -- what there is to say --------------------------------------------------------------------

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the stage is, `done` of `total` in any unit.

        Call it as often as you like: at most ten reports a second leave, the last one always.
        """
        report = Progress(float(done), None if total is None else float(total), str(message))
        now = time.monotonic()
        if now - self._progress_at < PROGRESS_EVERY_S:
            self._progress_held = report
        else:
            self._progress_at, self._progress_held = now, None
            self._emit(report)

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record one point of the series `name`, kept with the run.

        Without a `step` the points of a name are counted from 0. A value that is not finite is
        logged and not kept: a loss that turned into NaN must not end the run that reports it.
        """
        if not (0 < len(name) <= METRIC_NAME_MAX and name.isprintable()):
            raise ValueError(
                f"a metric's name is 1-{METRIC_NAME_MAX} printable characters: {name!r}"
            )
        number = float(value)
        at = self._steps.get(name, 0) if step is None else int(step)
        self._steps[name] = at + 1
        if math.isfinite(number):
            self._emit(MetricPoint(name, number, at, time.time(), self.index))
        else:
            _stage_logger.warning("metric %s is %s at step %d: not kept", name, number, at)

    # -- for the worker --------------------------------------------------------------------------

    def enter_item(self, index: int) -> None:
        """Go to the next item of a slice: what one item changed in place must not meet the next."""
        self.index = index
        if self._steps:
            self._steps = {}
        if self._cache:
            keep = ("run",) if self._call.run.input.kind == "inline" else ("run", "input")
            self._cache = {key: value for key, value in self._cache.items() if key in keep}

    def request_cancel(self) -> None:
        """Raise the flag that `cancelled` shows."""
        self._cancelled = True

    def emit(self, event: TaskEvent) -> None:
        """Send an event of this task; nothing leaves any more once the task has ended."""
        self._emit(event)

    def close(self) -> None:
        """Send the progress that was held back, then fall silent."""
        if self._progress_held is not None:
            self._emit(self._progress_held)
        self._emit = _nowhere

    def _json(self, name: str, text: bytes) -> dict[str, Any]:
        value: dict[str, Any] = self._once(name, lambda: json.loads(text))
        return value

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        try:
            return self._cache[name]
        except KeyError:
            return self._cache.setdefault(name, make())


class activate:  # noqa: N801  (used like a function; a class costs a third of @contextmanager)
    """Make a context current for a `with` block; `index` is the item of a parameterized stage.

    Enter and leave it on the thread (or in the asyncio task) that runs the body.
    """

    __slots__ = ("_context", "_token")

    def __init__(
        self,
        call: TaskCall,
        environment: WorkerEnvironment,
        emit: Emit,
        *,
        index: int | None = None,
    ) -> None:
        self._context = RunContext(call, environment, emit, index)
        self._token: Token[RunContext | None] | None = None

    def __enter__(self) -> RunContext:
        self._token = _current.set(self._context)
        _active[id(self._context)] = self._context
        return self._context

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _active.pop(id(self._context), None)
        if self._token is not None:
            _current.reset(self._token)
        self._context.close()


def find_run_context() -> RunContext | None:
    """Return the context of the stage that runs here, or None.

    A thread that the stage started by itself carries no context: it gets the only active one.
    """
    context = _current.get()
    if context is not None:
        return context
    active = tuple(_active.values())
    return active[0] if len(active) == 1 else None


def get_run_context() -> RunContext:
    """Return the context of the stage that runs here; raise OutsideStage where none does."""
    context = find_run_context()
    if context is not None:
        return context
    if _active:
        raise OutsideStage(
            "several stages run in this process and this thread belongs to none of them",
            fix="get the context in the stage itself and hand it to the thread",
        )
    raise OutsideStage(
        "no stage runs here, so there is no run context",
        fix="in a test, call the stage with flowdapt.testing.run_stage(function, …), "
        "or run the workflow with flowdapt.execute_workflow(…)",
    )


def _identity(run: RunInfo) -> RunIdentity:
    return RunIdentity(
        run.uid,
        run.name,
        run.workflow,
        run.revision,
        run.namespace,
        run.executor,
        run.source,
        MappingProxyType(run.labels),
    )


def _decode_input(run: RunInfo, environment: WorkerEnvironment) -> Any:
    if run.input.kind == "inline" and run.input.codec == "json":
        return json.loads(run.input.data)
    from flowdapt.runtime import values

    return values.decode(run.input, environment.values_root)


def _nowhere(event: TaskEvent) -> None:
    """Take what a thread says after its stage has ended."""
