"""Decide what a config is, which workflows it selects, and how several are merged into one.

A name beats annotations, more annotations beat fewer, anything beats `all`; within one rank the
config whose name sorts later wins. Mappings merge key by key, everything else is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flowdapt.domain.names import Name

__all__ = [
    "ByAnnotation",
    "ByName",
    "ConfigSpec",
    "Everything",
    "Selector",
    "carries",
    "chosen",
    "merge",
    "merged_in_depth",
]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ByName(_Spec):
    """Selects the one workflow of that name."""

    type: Literal["name"]
    value: Name = Field(description="The workflow's name.")

    def selects(self, workflow: str, annotations: Mapping[str, Any]) -> bool:
        return workflow == self.value

    @property
    def rank(self) -> tuple[int, int]:
        return 2, 0


class ByAnnotation(_Spec):
    """Selects workflows that carry all of these annotations."""

    type: Literal["annotation"]
    value: dict[str, Any] = Field(
        min_length=1,
        description="Annotations, all of which the workflow must carry with that value.",
    )

    def selects(self, workflow: str, annotations: Mapping[str, Any]) -> bool:
        return carries(annotations, self.value)

    @property
    def rank(self) -> tuple[int, int]:
        return 1, len(self.value)


class Everything(_Spec):
    """Selects every workflow."""

    type: Literal["all"]

    def selects(self, workflow: str, annotations: Mapping[str, Any]) -> bool:
        return True

    @property
    def rank(self) -> tuple[int, int]:
        return 0, 0


Selector = Annotated[ByName | ByAnnotation | Everything, Field(discriminator="type")]


class ConfigSpec(_Spec):
    """Values that are merged into the workflows a selector names."""

    selector: Selector = Field(description="Which workflows get the values.")
    data: dict[str, Any] = Field(
        default_factory=dict, description="The values: `get_run_context().config` in a stage."
    )


def chosen(
    workflow: str, annotations: Mapping[str, Any], configs: Iterable[tuple[str, ConfigSpec]]
) -> list[tuple[str, ConfigSpec]]:
    """Return the (name, config) pairs that select a workflow, the strongest last."""
    matching = [pair for pair in configs if pair[1].selector.selects(workflow, annotations)]
    return sorted(matching, key=lambda pair: (pair[1].selector.rank, pair[0]))


def merge(
    workflow: str, annotations: Mapping[str, Any], configs: Iterable[tuple[str, ConfigSpec]]
) -> dict[str, Any]:
    """Return the values that a workflow gets from all configs."""
    values: dict[str, Any] = {}
    for _, spec in chosen(workflow, annotations, configs):
        values = merged_in_depth(values, spec.data)
    return values


def merged_in_depth(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new mapping; depth is bounded by the documents' own limit."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merged_in_depth(old, value)
        else:
            merged[key] = value
    return merged


def carries(annotations: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Say whether all of these annotations are there with these values."""
    return all(key in annotations and same_json(annotations[key], wanted[key]) for key in wanted)


def same_json(left: Any, right: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)
