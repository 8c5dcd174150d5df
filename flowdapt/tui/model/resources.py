"""Decide what is told of workflows and configs: documents joined with runs, rules and each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flowdapt.domain.config import ConfigSpec
from flowdapt.domain.resource import Resource
from flowdapt.domain.trigger_views import TriggerStatus
from flowdapt.tui.model.pulse import Rhythm

__all__ = ["ConfigRow", "WorkflowRow", "config_rows", "needs_of", "selector_words", "workflow_rows"]


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A workflow, how it went lately, which rules start it."""

    document: Resource
    rhythm: Rhythm | None = None
    rules: tuple[TriggerStatus, ...] = ()
    configs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.document.metadata.name

    @property
    def group(self) -> str:
        """Return the group that the document names, by the words in use."""
        notes = self.document.metadata.annotations
        return str(notes.get("group") or notes.get("project") or "")

    @property
    def stages(self) -> list[Mapping[str, Any]]:
        return [stage for stage in self.document.spec.get("stages", ()) if isinstance(stage, dict)]


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """A config and the workflows that get its values; `broken` says why it selects none."""

    document: Resource
    workflows: tuple[str, ...] = ()
    selector: str = ""
    broken: str = ""

    @property
    def name(self) -> str:
        return self.document.metadata.name

    @property
    def data(self) -> Mapping[str, Any]:
        found = self.document.spec.get("data")
        return found if isinstance(found, Mapping) else {}


def workflow_rows(
    workflows: Iterable[Resource],
    configs: Sequence[Resource],
    rhythms: Iterable[Rhythm],
    rules: Sequence[TriggerStatus],
) -> list[WorkflowRow]:
    """Return the workflows by name, each with what belongs to it."""
    by_name = {rhythm.workflow: rhythm for rhythm in rhythms}
    selected = config_rows(configs, workflows := list(workflows))
    return [
        WorkflowRow(
            one,
            by_name.get(one.metadata.name),
            tuple(rule for rule in rules if _starts(rule, one.metadata.name)),
            tuple(row.name for row in selected if one.metadata.name in row.workflows),
        )
        for one in sorted(workflows, key=lambda one: one.metadata.name)
    ]


def _starts(rule: TriggerStatus, workflow: str) -> bool:
    """Say whether an action of the rule names the workflow; its words end with the name."""
    return any(action.rpartition(" ")[2] == workflow for action in rule.actions)


def config_rows(configs: Iterable[Resource], workflows: Iterable[Resource]) -> list[ConfigRow]:
    """Return the configs by name, each with the workflows that it selects."""
    known = list(workflows)
    return [_config_row(one, known) for one in sorted(configs, key=lambda one: one.metadata.name)]


def _config_row(document: Resource, workflows: Sequence[Resource]) -> ConfigRow:
    try:
        spec = ConfigSpec.model_validate(document.spec)
    except ValidationError as error:
        return ConfigRow(document, broken=str(error.errors()[0]["msg"]))
    chosen = [
        one.metadata.name
        for one in workflows
        if spec.selector.selects(one.metadata.name, one.metadata.annotations)
    ]
    return ConfigRow(document, tuple(chosen), selector_words(spec))


def selector_words(spec: ConfigSpec) -> str:
    """Return in words which workflows a config is for."""
    selector = spec.selector
    if selector.type == "name":
        return f"the workflow {selector.value}"
    if selector.type == "annotation":
        pairs = " and ".join(f"{key} = {value}" for key, value in selector.value.items())
        return f"workflows with {pairs}"
    return "every workflow"


def needs_of(stage: Mapping[str, Any]) -> str:
    """Return in words what a stage asks for besides a core."""
    asked = stage.get("resources")
    found = dict(asked) if isinstance(asked, Mapping) else {}
    if found.get("cpus") in (1, 1.0):
        del found["cpus"]
    return " ".join(f"{name}={amount}" for name, amount in found.items())
