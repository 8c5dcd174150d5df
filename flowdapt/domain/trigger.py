"""Decide the shape of a trigger rule's document: which keys it has. What it means is `rule`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flowdapt.domain.quantities import DurationS

__all__ = ["Action", "TriggerRuleSpec"]


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Action(_Spec):
    """What a rule does when it fires: a named action and its parameters."""

    target: str = Field(
        min_length=1, max_length=128, description="The action's name, such as `run_workflow`."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="What the action is given; `{var: data.x}` reads the event.",
    )


class TriggerRuleSpec(_Spec):
    """When something should happen by itself, and what."""

    type: Literal["schedule", "interval", "condition"] = Field(
        description="What the rule looks at."
    )
    rule: Any = Field(description="Cron lines, `{every: 15m}`, or a condition over events.")
    action: Action | None = Field(
        default=None, description="The one action; `actions` for several."
    )
    actions: tuple[Action, ...] = Field(default=(), description="What happens when the rule fires.")
    timezone: str = Field(default="UTC", max_length=64, description="IANA zone of a schedule.")
    catch_up: Literal["none", "latest", "all"] = Field(
        default="latest",
        description="Which slots missed while the daemon was down are made up for.",
    )
    misfire_grace: DurationS = Field(default=60.0, description="A slot later than this is missed.")
    overlap: Literal["allow", "forbid", "queue_one", "replace"] = Field(
        default="forbid", description="What happens while a run of this rule is still open."
    )
    enabled: bool = Field(default=True, description="Whether the rule fires.")
    description: str = Field(default="", description="Words for people.")

    @property
    def all_actions(self) -> tuple[Action, ...]:
        """Return what happens, in order, however it was written."""
        return self.actions if self.action is None else (self.action,)

    @model_validator(mode="after")
    def _has_an_action(self) -> TriggerRuleSpec:
        if (self.action is None) == (not self.actions):
            raise ValueError("a trigger rule has either `action` or `actions`")
        return self
