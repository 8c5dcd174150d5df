"""Decide what a workflow definition is: stages, dependencies, options, and what each may say.

The shape only. Problems that need more than one field (cycles, unknown stages) are found in
`graph.py`; reading texts and collecting every problem is `documents.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from flowdapt.domain.names import Name, check_target
from flowdapt.domain.quantities import DurationS, SizeBytes
from flowdapt.domain.run import StageType

__all__ = ["Concurrency", "Resources", "RetryPolicy", "StageSpec", "WorkflowSpec"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class RetryPolicy(_Spec):
    """How often user code is tried. Backoff: full jitter of initial * factor^k, at most `max`.

    `retry_on` and `no_retry_on` hold dotted class names; a base class matches its subclasses.
    """

    max_attempts: int = Field(default=1, ge=1, le=1000)
    initial: DurationS = 1.0
    factor: float = Field(default=2.0, ge=1.0, le=100.0)
    max: DurationS = 100.0
    retry_on: tuple[str, ...] = ()
    no_retry_on: tuple[str, ...] = ()


class Resources(BaseModel):
    """What one task of a stage needs. Names beyond cpus, gpus, memory are custom semaphores."""

    model_config = ConfigDict(frozen=True, extra="allow")

    cpus: float = Field(default=1.0, ge=0)
    gpus: float = Field(default=0.0, ge=0)
    memory: SizeBytes = 0

    @property
    def custom(self) -> Mapping[str, float]:
        return {name: float(amount) for name, amount in (self.__pydantic_extra__ or {}).items()}

    @model_validator(mode="after")
    def _amounts_are_numbers(self) -> Resources:
        for name, amount in (self.__pydantic_extra__ or {}).items():
            if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
                raise ValueError(f"resource {name!r} must be a number that is not negative")
        return self


class Concurrency(_Spec):
    """How many runs of one workflow may be open at once, and what happens to one more."""

    max_runs: int = Field(ge=1)
    when_full: Literal["queue", "skip", "replace"] = "queue"


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class StageSpec(_Spec):
    """A node of a workflow: a Python function, its dependencies and its options."""

    name: Name
    target: Annotated[str, AfterValidator(check_target)]
    type: StageType = StageType.SIMPLE
    depends_on: tuple[str, ...] = ()
    map_on: str | None = None
    allow_partial_failure: bool = False
    resources: Resources = Resources()
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    description: str = ""
    retry: RetryPolicy = RetryPolicy()
    timeout: DurationS | None = None
    on_lost: Literal["retry", "fail"] = "retry"
    checkpoint: Literal["auto", "always", "never"] = "auto"
    isolate: bool = False
    secrets: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _accept_older_forms(cls, value: Any) -> Any:
        """Accept `options: {map_on, allow_partial_failure}`, a scalar `depends_on`, `type: parameter`."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        options = value.pop("options", None)
        if isinstance(options, dict):
            for key, option in options.items():
                if key not in ("map_on", "allow_partial_failure"):
                    raise ValueError(f"unknown option {key!r}; options are map_on, allow_partial_failure")
                if key in value and value[key] != option:
                    raise ValueError(f"{key} is given twice, with different values")
                value[key] = option
        elif options is not None:
            raise ValueError("options is a mapping")
        value["depends_on"] = _as_tuple(value.get("depends_on") or ())
        if value.get("type") == "parameter":
            value["type"] = "parameterized"
        return value


class WorkflowSpec(_Spec):
    """A named DAG of stages, with what holds for the whole run."""

    stages: tuple[StageSpec, ...] = Field(min_length=1, max_length=5000)
    input_schema: dict[str, Any] | None = None
    result: str | None = None
    timeout: DurationS | None = None
    concurrency: Concurrency | None = None
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    description: str = ""

    def stage(self, name: str) -> StageSpec:
        """Return the stage of that name; raise KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)
