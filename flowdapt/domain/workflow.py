"""Decide what a workflow definition is: stages, dependencies, options, and what each may say.

The shape only. Problems that need more than one field (cycles, unknown stages) are found in
`graph.py`; reading texts and collecting every problem is `documents.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
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

    max_attempts: int = Field(
        default=1, ge=1, le=1000, description="Tries in all, the first included."
    )
    initial: DurationS = Field(default=1.0, description="The longest wait before the second try.")
    factor: float = Field(
        default=2.0, ge=1.0, le=100.0, description="What each wait is multiplied by."
    )
    max: DurationS = Field(default=100.0, description="No wait is longer.")
    retry_on: tuple[str, ...] = Field(
        default=(), description="Dotted exception classes that are tried again; none: all are."
    )
    no_retry_on: tuple[str, ...] = Field(
        default=(), description="Dotted exception classes that fail at once."
    )


class Resources(BaseModel):
    """What one task of a stage needs. Names beyond cpus, gpus, memory are custom semaphores."""

    model_config = ConfigDict(frozen=True, extra="allow")

    cpus: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="Processor cores.")
    gpus: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Graphics cards; a share such as 0.5 is fine.",
    )
    memory: SizeBytes = Field(default=0, description="Memory; 0 reserves none.")

    @cached_property
    def custom(self) -> Mapping[str, float]:
        return {name: float(amount) for name, amount in (self.__pydantic_extra__ or {}).items()}

    @cached_property
    def amounts(self) -> dict[str, float]:
        """Everything asked for by name, memory in bytes; what is 0 is left out."""
        known = {"cpus": self.cpus, "gpus": self.gpus, "memory": float(self.memory)}
        return {name: amount for name, amount in {**known, **self.custom}.items() if amount}

    @model_validator(mode="after")
    def _amounts_are_numbers(self) -> Resources:
        for name, amount in (self.__pydantic_extra__ or {}).items():
            if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
                raise ValueError(f"resource {name!r} must be a number that is not negative")
        return self


class Concurrency(_Spec):
    """How many runs of one workflow may be open at once, and what happens to one more."""

    max_runs: int = Field(ge=1, description="Open runs at once.")
    when_full: Literal["queue", "skip", "replace"] = Field(
        default="queue",
        description="One more run waits, is not started, or takes the place of the open ones.",
    )


_OPTIONS = frozenset({"map_on", "allow_partial_failure"})


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class StageSpec(_Spec):
    """A node of a workflow: a Python function, its dependencies and its options."""

    name: Name = Field(description="Unique in the workflow.")
    target: Annotated[str, AfterValidator(check_target)] = Field(
        description="The function: `package.module.function` or `package.module:function`."
    )
    type: StageType = Field(
        default=StageType.SIMPLE,
        description="`parameterized` runs once per item of what it maps over.",
    )
    depends_on: tuple[str, ...] = Field(
        default=(), description="Stages whose results are the arguments, in this order."
    )
    map_on: str | None = Field(
        default=None,
        description="What a parameterized stage maps over: an input key or a dependency; "
        "default: the first dependency.",
    )
    allow_partial_failure: bool = Field(
        default=False, description="Failing items leave empty places instead of failing the stage."
    )
    resources: Resources = Field(default=Resources(), description="What one task needs.")
    priority: int = Field(
        default=0, ge=-1_000_000, le=1_000_000, description="Higher goes first among ready stages."
    )
    description: str = Field(default="", description="Words for people.")
    retry: RetryPolicy = Field(default=RetryPolicy(), description="How failures are tried again.")
    timeout: DurationS | None = Field(default=None, description="Limit of each attempt.")
    on_lost: Literal["retry", "fail"] = Field(
        default="retry", description="What happens when the worker dies under the stage."
    )
    checkpoint: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether results are stored, so that a restart need not redo them.",
    )
    isolate: bool = Field(default=False, description="Whether the stage gets a fresh process.")
    secrets: tuple[str, ...] = Field(
        default=(), description="Names of secrets that reach this stage, and this one only."
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_older_forms(cls, value: Any) -> Any:
        """Accept `options: {map_on, allow_partial_failure}`, a scalar `depends_on`, `type: parameter`."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        options = value.pop("options", None)
        if isinstance(options, dict):
            strange = {key: options[key] for key in options if key not in _OPTIONS}
            # What is left under `options` is refused like any other unknown field.
            value |= {"options": strange} if strange else {}
            for key in options.keys() & _OPTIONS:
                if key in value and value[key] != options[key]:
                    raise ValueError(f"{key} is given twice, with different values")
                value[key] = options[key]
        elif options is not None:
            raise ValueError("options is a mapping")
        value["depends_on"] = _as_tuple(value.get("depends_on") or ())
        if value.get("type") == "parameter":
            value["type"] = "parameterized"
        return value


class WorkflowSpec(_Spec):
    """A named DAG of stages, with what holds for the whole run."""

    stages: tuple[StageSpec, ...] = Field(
        min_length=1, max_length=5000, description="The stages, in any order."
    )
    input_schema: dict[str, Any] | None = Field(
        default=None, description="JSON Schema (2020-12) of the input, checked at submission."
    )
    result: str | None = Field(
        default=None,
        description="The stage whose result is the run's; default: the leaf, or a mapping of the leaves.",
    )
    timeout: DurationS | None = Field(default=None, description="Limit of the whole run.")
    concurrency: Concurrency | None = Field(
        default=None, description="How many runs may be open at once; default: any number."
    )
    priority: int = Field(
        default=0, ge=-1_000_000, le=1_000_000, description="Higher goes first among queued runs."
    )
    description: str = Field(default="", description="Words for people.")

    def stage(self, name: str) -> StageSpec:
        """Return the stage of that name; raise KeyError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)
