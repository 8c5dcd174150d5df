"""Decide what can go wrong and what to do about it: one tree of errors with stable codes.

FlowdaptError
├── InvalidInput             the request itself is wrong
│   ├── InvalidDocument      a resource document; carries every problem found
│   ├── InvalidName          a name outside the allowed alphabet
│   ├── ScheduleError        cron lines, a time zone or an interval; carries every problem found
│   └── UnknownField         a field that does not exist
├── NotFound                 no such resource, run, artifact, object or secret
│   ├── MissingObject        no value under that key in cluster memory or artifacts
│   └── MissingArtifact
├── Conflict                 true now, but not what the request assumed
│   ├── StaleRevision        somebody changed the resource in between
│   ├── KeyReused            the idempotency key was used with another body
│   ├── RunNotTerminal       the operation needs a run that has ended
│   └── StaleEpoch           another owner drives this run now (internal)
├── Denied                   not allowed for this caller
├── TooLarge                 over a written limit
├── QueueFull                too many queued runs; try later
├── Unavailable              cannot be served now, heals by itself
│   ├── Draining
│   ├── StoreBusy            somebody else holds the database
│   ├── StorageFull          no space left on the device
│   ├── ExecutorUnavailable
│   └── BrokerUnavailable    the broker's server does not answer (internal)
├── Unreachable              no daemon answers (client side)
├── TimedOut                 the caller's own patience ended (client side)
├── StartRefused             the daemon must not start as things are
│   ├── AlreadyRunning       another daemon holds the data directory
│   ├── UnsafeDirectory      wrong owner, mode or kind of a directory or file
│   ├── CorruptStore         the database is damaged; backups are named
│   ├── NewerStore           the database was written by a newer flowdapt
│   └── StoreUnwritable      read-only or failing storage
├── OutsideStage             stage code asked for its run where no stage runs
└── NonRetryable             raised by user code: do not try again
    ├── TargetMissing        the stage's function cannot be imported or is no function
    ├── BadBinding           its parameters do not fit what the stage gets
    ├── UnstorableResult     its result cannot be pickled, or not read back
    ├── UnreadableValue      a value that it takes cannot become an object here
    └── DamagedValue         the bytes of a value are not those that were written

Nothing here knows HTTP or exit codes: `api/problems.py` and `cli/main.py` hold one table each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AlreadyRunning",
    "BadBinding",
    "BrokerUnavailable",
    "Conflict",
    "CorruptStore",
    "DamagedValue",
    "Denied",
    "Draining",
    "ExecutorUnavailable",
    "FlowdaptError",
    "InvalidDocument",
    "InvalidInput",
    "InvalidName",
    "KeyReused",
    "MissingArtifact",
    "MissingObject",
    "NewerStore",
    "NonRetryable",
    "NotFound",
    "OutsideStage",
    "Problem",
    "QueueFull",
    "RunNotTerminal",
    "ScheduleError",
    "StaleEpoch",
    "StaleRevision",
    "StartRefused",
    "StorageFull",
    "StoreBusy",
    "StoreUnwritable",
    "TargetMissing",
    "TimedOut",
    "TooLarge",
    "Unavailable",
    "UnknownField",
    "Unreachable",
    "UnreadableValue",
    "UnsafeDirectory",
    "UnstorableResult",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place of a document or a body.

    `loc` is the path inside the document (`("spec", "stages", 2, "depends_on", 0)`);
    `line` and `column` are 1-based and known only where a text was read.
    """

    code: str
    message: str
    loc: tuple[str | int, ...] = ()
    suggestion: str | None = None
    fix: str | None = None
    source: str | None = None
    line: int | None = None
    column: int | None = None


class FlowdaptError(Exception):
    """Anything flowdapt itself refuses or fails at; says what to do next in `fix`."""

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        fix: str | None = None,
        code: str | None = None,
        problems: Sequence[Problem] = (),
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.problems = tuple(problems)
        self.details = dict(details or {})
        # A subclass names its family; an instance may be more exact ("workflow.cycle").
        self.exact_code = code or type(self).code


class InvalidInput(FlowdaptError):
    """The request is wrong as it stands; repeating it cannot help."""

    code = "invalid"


class InvalidDocument(InvalidInput):
    """A resource document is wrong; `problems` lists everything found."""

    code = "document.invalid"


class InvalidName(InvalidInput):
    """A name is outside the allowed alphabet or length."""

    code = "name.invalid"


class ScheduleError(InvalidInput):
    """Cron lines, a time zone or an interval are wrong; `problems` lists everything found."""

    code = "schedule.invalid"


class UnknownField(InvalidInput):
    """A field does not exist; a near one is suggested."""

    code = "field.unknown"


class NotFound(FlowdaptError):
    """The named thing does not exist."""

    code = "not_found"


class MissingObject(NotFound):
    """No value lies under that key, in cluster memory or in artifacts."""

    code = "object.missing"


class MissingArtifact(NotFound):
    """No artifact, or no file in it, has that name."""

    code = "artifact.missing"


class Conflict(FlowdaptError):
    """The state is not what the request assumed."""

    code = "conflict"


class StaleRevision(Conflict):
    """Somebody changed the resource since it was read."""

    code = "resource.stale"


class StaleRule(Conflict):
    """The trigger rule was changed, paused or deleted while it was about to fire."""

    code = "trigger.stale"


class KeyReused(Conflict):
    """The idempotency key was already used with another body."""

    code = "run.key_reused"


class RunNotTerminal(Conflict):
    """The operation needs a run that has ended."""

    code = "run.not_terminal"


class StaleEpoch(Conflict):
    """Another owner drives this run now: stop and drop the result."""

    code = "run.stale_epoch"


class Denied(FlowdaptError):
    """The caller may not do this."""

    code = "denied"


class TooLarge(FlowdaptError):
    """Something is over a written limit."""

    code = "too_large"


class QueueFull(FlowdaptError):
    """Too many runs are queued; try again later."""

    code = "run.queue_full"


class Unavailable(FlowdaptError):
    """It cannot be served now and heals by itself."""

    code = "unavailable"


class Draining(Unavailable):
    """The daemon is shutting down and accepts nothing new."""

    code = "daemon.draining"


class StoreBusy(Unavailable):
    """Somebody else holds the database's write lock."""

    code = "store.busy"


class StorageFull(Unavailable):
    """No space is left on the device; nothing was changed."""

    code = "store.full"


class ExecutorUnavailable(Unavailable):
    """The executor cannot be reached or has no workers."""

    code = "executor.unavailable"


class BrokerUnavailable(Unavailable):
    """The broker's server cannot be reached or does not acknowledge; what it was to carry stays."""

    code = "broker.unavailable"


class Unreachable(FlowdaptError):
    """No daemon answers at the address."""

    code = "daemon.unreachable"


class TimedOut(FlowdaptError):
    """The caller's own time limit ended; the work may go on."""

    code = "timeout"


class StartRefused(FlowdaptError):
    """The daemon must not start as things are."""

    code = "start.refused"


class AlreadyRunning(StartRefused):
    """Another daemon holds the data directory."""

    code = "start.already_running"


class UnsafeDirectory(StartRefused):
    """A directory or file has the wrong owner, mode or kind."""

    code = "start.unsafe_directory"


class CorruptStore(StartRefused):
    """The database is damaged; the message names the newest good backup."""

    code = "store.corrupt"


class NewerStore(StartRefused):
    """The database was written by a newer flowdapt."""

    code = "store.newer"


class StoreUnwritable(StartRefused):
    """The storage is read-only or fails."""

    code = "store.unwritable"


class OutsideStage(FlowdaptError):
    """Stage code asked for its run where no stage runs."""

    code = "stage.outside"


class NonRetryable(FlowdaptError):
    """Raise it in a stage to fail at once, whatever the retry policy says."""

    code = "stage.non_retryable"


class TargetMissing(NonRetryable):
    """The stage's target cannot be imported, or is not callable."""

    code = "stage.target"


class BadBinding(NonRetryable):
    """The parameters of the target do not fit what the stage gets; the message names one."""

    code = "stage.binding"


class UnstorableResult(NonRetryable):
    """The result cannot be pickled, or not read back; the message names type and path."""

    code = "stage.result"


class UnreadableValue(NonRetryable):
    """A value that the stage takes cannot become an object here."""

    code = "value.unreadable"


class DamagedValue(NonRetryable):
    """The bytes of a value are gone or are not those that were written; nothing was decoded."""

    code = "value.damaged"
