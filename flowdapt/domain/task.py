"""Decide what travels between daemon and worker: value references, calls, outcomes, task events.

msgspec structs, not pydantic models, because a worker must start in a blink and a frame is
encoded on every task. Values themselves never pass: only references do.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "Cancelled",
    "ErrorInfo",
    "Failed",
    "Finished",
    "ItemFailure",
    "LogLine",
    "Lost",
    "MapSlice",
    "MetricPoint",
    "Outcome",
    "Part",
    "Progress",
    "RunInfo",
    "Started",
    "TaskCall",
    "TaskEvent",
    "ValueRef",
    "WorkerEnvironment",
]

INLINE_MAX_BYTES = 64 * 1024
STORE_MAX_BYTES = 1024 * 1024


class Part(msgspec.Struct, frozen=True, array_like=True):
    """The items [start, stop) of a mapped stage's result. A later part overrides an earlier one."""

    start: int
    stop: int
    value: ValueRef


class ValueRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a value lies and how to read it. Written once, by one worker.

    kind      `inline`: the bytes are in `data`; `file`: `location` is a path relative to the
              values root; `parts`: a list put together from `parts`, `length` items long, positions
              that no part covers are None; `mapping`: an object of JSON or other values, one
              part for each of `names` (a run with several leaves); `cluster`: only the executor
              has it, under `handle`.
    codec     `json`: UTF-8 JSON text, which anyone may read; `pickle`: only workers decode it;
              `parts`: a file that holds a msgpack list of Part (a spilled `parts` value).
    sha256    hex digest of the pickled part (of all bytes for JSON); empty for inline.
    length    number of items when the value is a list or tuple, else None.
    preview   short JSON text (type, shape, head) for values that are not JSON.
    handle    the executor's own name for a live copy; of a `file` value it is only the quicker way.
    """

    kind: Literal["inline", "file", "parts", "mapping", "cluster"]
    codec: Literal["json", "pickle", "parts"] = "json"
    data: bytes = b""
    location: str = ""
    size_bytes: int = 0
    sha256: str = ""
    length: int | None = None
    preview: str = ""
    parts: tuple[Part, ...] = ()
    names: tuple[str, ...] = ()
    handle: str = ""


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error of user code or of its worker, as text. `type` is `module.QualName`."""

    type: str
    message: str
    traceback: str = ""
    stage: str = ""
    index: int | None = None
    retryable: bool = True
    # The class names of the whole MRO, so that retry_on can match a base class without an import.
    bases: tuple[str, ...] = ()


class ItemFailure(msgspec.Struct, frozen=True):
    """Item `index` of a mapped stage failed."""

    index: int
    error: ErrorInfo


class MapSlice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which items of which value one task runs.

    source        position in `TaskCall.args` of the value to map over, or -1: take the input key
                  `input_key`.
    budget_s      stop after the item during which this time is over; the outcome says how far it came.
    stop_on_failure  leave the rest of the slice alone after a failing item.
    """

    start: int
    stop: int
    source: int = 0
    input_key: str = ""
    budget_s: float = 0.25
    stop_on_failure: bool = False


class RunInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the run context of a stage shows; the same for every task of a run."""

    uid: str
    name: str
    workflow: str
    revision: int
    namespace: str
    executor: str
    source: str
    input: ValueRef
    # JSON texts, decoded only when the stage asks.
    config: bytes = b"{}"
    definition: bytes = b"{}"
    labels: dict[str, str] = {}
    causation_depth: int = 0


class TaskCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call on an executor: a simple stage, or a slice of a mapped one.

    bind      `input`: parameters take the run's input by name; `dependencies`: `args` are passed
              in order (a function without parameters gets none).
    args      results of the dependencies, in `depends_on` order.
    epoch     the owner's fencing number; it goes into the names of files.
    inline_max_bytes  results up to this size come back inside the outcome.
    durable   flush result files to the disk before the outcome is sent.
    store_max_bytes  where results live with the executor: up to this size they are also written to
              the values' root before the outcome is sent; larger ones wait for `Executor.store`.
    resources what the stage asks for: cpus, gpus, memory (bytes) and custom names, where not 0.
    secrets   values, for this stage only; masked in everything that comes back.
    priority  higher first, where the executor queues by itself.
    start_timeout_s   bound on the time until the body runs (process start, import).
    grace_s   between SIGTERM and SIGKILL.
    """

    run: RunInfo
    stage: str
    target: str
    task_key: str
    attempt: int
    epoch: int
    bind: Literal["input", "dependencies"] = "dependencies"
    args: tuple[ValueRef, ...] = ()
    map: MapSlice | None = None
    inline_max_bytes: int = INLINE_MAX_BYTES
    durable: bool = False
    store_max_bytes: int = STORE_MAX_BYTES
    isolate: bool = False
    secrets: dict[str, str] = {}
    resources: dict[str, float] = {}
    gpu_devices: str = ""
    memory_limit_bytes: int = 0
    priority: int = 0
    start_timeout_s: float = 60.0
    grace_s: float = 5.0


class Finished(msgspec.Struct, frozen=True, tag="finished", omit_defaults=True):
    """The body ended.

    For a slice: `reached` is one past the last item that ran, `value` holds the results of
    [start, reached) with None where an item failed, `failures` says which and why.
    """

    value: ValueRef
    duration_s: float = 0.0
    reached: int = 0
    failures: tuple[ItemFailure, ...] = ()
    worker_pid: int = 0


class Failed(msgspec.Struct, frozen=True, tag="failed", omit_defaults=True):
    """User code failed (also: bad binding, import error, unpicklable result)."""

    error: ErrorInfo
    duration_s: float = 0.0
    worker_pid: int = 0


class Lost(msgspec.Struct, frozen=True, tag="lost", omit_defaults=True):
    """The worker went away under the task: not the fault of the code as far as anyone knows.

    `missing` are handles of inputs that are gone: the task has not begun, and whoever made them must
    make them again.
    """

    reason: str
    error: ErrorInfo
    worker_pid: int = 0
    missing: tuple[str, ...] = ()


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The task was stopped because we asked for it."""

    reason: str = ""


Outcome = Finished | Failed | Lost | Cancelled


class Started(msgspec.Struct, frozen=True, tag="started", omit_defaults=True):
    """The body begins now: the run timeout counts from here."""

    worker_pid: int = 0


class LogLine(msgspec.Struct, frozen=True, tag="log", omit_defaults=True):
    """One captured line. `time` is UTC seconds since the epoch, `stream` stdout, stderr or log."""

    time: float
    stream: str
    level: str
    text: str
    index: int | None = None
    logger: str = ""


class Progress(msgspec.Struct, frozen=True, tag="progress", omit_defaults=True):
    """What `get_run_context().progress(done, total)` said."""

    done: float
    total: float | None = None
    message: str = ""


class MetricPoint(msgspec.Struct, frozen=True, tag="metric", omit_defaults=True):
    """What `get_run_context().metric(name, value, step)` said."""

    name: str
    value: float
    step: int
    time: float
    index: int | None = None


TaskEvent = Started | LogLine | Progress | MetricPoint


class WorkerEnvironment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a worker finds things; the same for every worker of an executor.

    `values_root` holds `<run uid>/…` result files, `memory_root` the cluster memory, `user_modules`
    the folder importable as the package `user_modules`. `python_path` is put before site-packages,
    `extensions` are import strings (`pkg.mod:name`) of callables run once at worker start (formats,
    another cluster memory).
    """

    values_root: str
    artifacts_url: str
    memory_root: str
    user_modules: str = ""
    python_path: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    cwd: str = ""
    max_output_bytes: int = 16 * 1024 * 1024
