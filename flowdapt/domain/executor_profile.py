"""Decide what an executor profile is, and what clients see of executors and of the switch between them.

Which options a kind has is its plugin's (`Executor.options`); how a switch is carried out is
`services/switch.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flowdapt.domain.executor_names import BUILT_IN_PROFILES, LOCAL
from flowdapt.domain.finding import Finding
from flowdapt.domain.names import Name

__all__ = [
    "BUILT_IN_PROFILES",
    "LOCAL",
    "Checked",
    "ExecutorProfile",
    "ExecutorView",
    "NewProfile",
    "SwitchRequest",
    "Switched",
]

State = Literal["closed", "opening", "ready", "unavailable"]


class ExecutorProfile(BaseModel):
    """A named, stored configuration of one kind of executor. Never changed: removed and added anew.

    `options` are the kind's own, as written: `${secret:NAME}` is filled in when the executor opens.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    options: dict[str, Any] = {}
    created_at: datetime | None = None


class NewProfile(BaseModel):
    """The body of `POST /executors`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    kind: str = Field(min_length=1, max_length=32)
    options: dict[str, Any] = Field(default_factory=dict, max_length=64)


class SwitchRequest(BaseModel):
    """The body of `PUT /active-executor`.

    `name` is a profile's, a built-in one's (`local`, `dask`, `ray`), an address (`dask://HOST:PORT`,
    `tls://…`, `ray://…`: a profile is made of it), or `-`: the one before. With `keep_going` failed
    checks are told and switched over all the same; an executor that cannot be opened never is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=512)
    insecure: bool = False
    keep_going: bool = False


class Checked(BaseModel):
    """What the preflight found. `passed` is False when a row failed."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    findings: list[Finding]
    took_s: float


class Switched(BaseModel):
    """What became of a switch. When `switched` is False, nothing has changed (`active` says where it stays)."""

    model_config = ConfigDict(frozen=True)

    switched: bool
    active: str
    previous: str | None
    # Open runs that go on elsewhere, by the executor that they are pinned to.
    pinned: dict[str, int] = {}
    findings: list[Finding] = []
    took_s: float = 0.0


class ExecutorView(BaseModel):
    """One executor as `executor ls`, `status` and the screens show it.

    `slots` is None where the executor queues by itself. `workers`, `minimum` and `maximum` tell how it
    scales; `words` is one line about its state (`3 of 1-4 workers`, `the scheduler does not answer
    since 12 s, next try in 4 s`).
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    state: State
    active: bool
    built_in: bool = False
    options: dict[str, Any] = {}
    slots: int | None = None
    busy: int = 0
    waiting: int = 0
    cpus: float = 0.0
    gpus: float = 0.0
    memory_bytes: int = 0
    resources: dict[str, float] = {}
    workers: int = 0
    minimum: int = 0
    maximum: int | None = None
    words: str = ""
    runs: int = 0
