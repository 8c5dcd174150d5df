"""Plan what a fire of a trigger rule starts: its runs, events and deliveries, or why it cannot.

A fire starts everything that its rule says or nothing: what cannot be planned fails it as a whole. It is
the store that decides whether the fire takes place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from flowdapt.domain.actions import PublishEvent, RunWorkflow
from flowdapt.domain.custom_events import DATA_MAX_BYTES, RESERVED_TYPES
from flowdapt.domain.errors import FlowdaptError, InvalidInput, Unavailable
from flowdapt.domain.event_values import fill
from flowdapt.domain.events import Event, EventDraft
from flowdapt.domain.fire import MAX_DEPTH, FireState, NewDelivery, NewFire, Overlap
from flowdapt.domain.records import NewRun
from flowdapt.domain.rule import Rule
from flowdapt.domain.run import RunRequest
from flowdapt.domain.seen_event import seen_event
from flowdapt.domain.trigger import Action
from flowdapt.domain.trigger_views import ActionPreview
from flowdapt.ports.action import Occasion, occasion_text
from flowdapt.services.catalog import CompiledWorkflow
from flowdapt.services.submission import Submitter, refuse_bad_input

__all__ = ["Cause", "Planner", "failed"]


class Catalog(Protocol):
    """Where workflows come from (`services.resources.Resources`)."""

    async def compiled(self, workflow: str) -> CompiledWorkflow:
        """Return the current revision. Raise NotFound with a suggestion."""
        ...


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a rule fires now: a slot, an event (as conditions see it), or somebody's wish.

    `depth` is the place of what is started in the chain of causes.
    """

    kind: str
    at: datetime
    scheduled_at: datetime | None = None
    event_id: str | None = None
    event_cursor: int | None = None
    event: dict[str, Any] | None = None
    depth: int = 0

    @classmethod
    def of_event(cls, event: Event, at: datetime) -> Cause:
        """Return the cause that an event is for a condition."""
        return cls(
            "condition",
            at,
            event_id=event.id,
            event_cursor=event.cursor,
            event=seen_event(event),
            depth=event.causation_depth + 1,
        )

    def by_hand(self) -> Cause:
        """Return the same cause as somebody's wish: it may come again, and begins a chain of its own."""
        return replace(self, kind="manual", event_id=None, depth=0)

    def seen(self, rule: Rule) -> dict[str, Any]:
        """Return what `{var: …}` in the rule's parameters reads from."""
        if self.event is not None:
            return self.event
        when = self.scheduled_at or self.at
        data = {"rule": rule.name, "scheduled_at": when.isoformat().replace("+00:00", "Z")}
        return {"type": f"trigger.{self.kind}", "time": data["scheduled_at"], "data": data}


class Planner:
    """Turns a rule and a cause into a fire that the store can write."""

    def __init__(self, submitter: Submitter, catalog: Catalog) -> None:
        self._submitter = submitter
        self._catalog = catalog

    async def plan(self, rule: Rule, generation: int, cause: Cause) -> NewFire:
        """Return the fire; one that cannot start is `failed`. Raise Unavailable when the store is."""
        fire = NewFire(
            rule.name,
            rule.revision,
            generation,
            cause.kind,
            scheduled_at=cause.scheduled_at,
            event_id=cause.event_id,
            event_cursor=cause.event_cursor,
            overlap=Overlap(rule.spec.overlap),
            depth=cause.depth,
        )
        if cause.depth > MAX_DEPTH:
            fire.state, fire.reason = FireState.SKIPPED, "depth"
            fire.error = f"a chain of {cause.depth} causes is taken for a loop"
            return fire
        try:
            for action in rule.spec.all_actions:
                await self._add(fire, rule, action, cause)
        except Unavailable:
            raise
        except FlowdaptError as error:
            failed(fire, error)
        return fire

    async def preview(self, rule: Rule, cause: Cause) -> tuple[ActionPreview, ...]:
        """Say what each action would be given, and what would keep it from being done. Store nothing."""
        return tuple(
            [await self._previewed(rule, action, cause) for action in rule.spec.all_actions]
        )

    async def _previewed(self, rule: Rule, action: Action, cause: Cause) -> ActionPreview:
        parameters = None
        try:
            parameters = fill(action.parameters, cause.seen(rule))
            if action.target == "run_workflow":
                await self._wanted(parameters)
            elif action.target == "publish_event":
                _event(rule, parameters, cause)
        except Unavailable:
            raise
        except FlowdaptError as error:
            return ActionPreview(target=action.target, parameters=parameters, error=error.message)
        return ActionPreview(target=action.target, parameters=parameters)

    async def _add(self, fire: NewFire, rule: Rule, action: Action, cause: Cause) -> None:
        parameters = fill(action.parameters, cause.seen(rule))
        if action.target == "run_workflow":
            fire.runs.append(await self._run(rule, parameters, cause))
        elif action.target == "publish_event":
            fire.events.append(_event(rule, parameters, cause))
        else:
            occasion = Occasion(rule.name, cause.kind, cause.at, cause.scheduled_at, cause.event)
            text = json.dumps(parameters, ensure_ascii=False)
            fire.deliveries.append(NewDelivery(action.target, text, occasion_text(occasion)))

    async def _run(self, rule: Rule, parameters: Any, cause: Cause) -> NewRun:
        wanted, compiled = await self._wanted(parameters)
        request = RunRequest.model_validate(wanted.model_dump(exclude={"workflow"}))
        return await self._submitter.new_run(
            compiled, request, None, "trigger", rule=rule.name, depth=cause.depth
        )

    async def _wanted(self, parameters: Any) -> tuple[RunWorkflow, CompiledWorkflow]:
        """Return what a run is asked for and its workflow. Raise NotFound, InvalidInput."""
        wanted: RunWorkflow = _checked(RunWorkflow, parameters)
        compiled = await self._catalog.compiled(wanted.workflow)
        refuse_bad_input(wanted.workflow, compiled.check_input(wanted.input))
        return wanted, compiled


def failed(fire: NewFire, error: FlowdaptError) -> None:
    """Turn a fire into one that could not start, and say why."""
    fire.state, fire.reason, fire.error = FireState.FAILED, error.exact_code, error.message
    fire.runs, fire.events, fire.deliveries = [], [], []


def _event(rule: Rule, parameters: Any, cause: Cause) -> EventDraft:
    wanted = _checked(PublishEvent, parameters)
    if wanted.type.startswith(RESERVED_TYPES):
        message = f"events of type {wanted.type!r} are flowdapt's own"
        raise InvalidInput(message, code="action.bad_parameter", fix="take a type of your own")
    data = json.dumps(wanted.data, ensure_ascii=False)
    if len(data.encode()) > DATA_MAX_BYTES:
        message = f"the data of an event is at most {DATA_MAX_BYTES // 1024} KiB"
        raise InvalidInput(message, code="action.bad_parameter")
    return EventDraft(
        wanted.type,
        wanted.subject or f"trigger/{rule.name}",
        data,
        correlation_id=(cause.event or {}).get("correlation_id"),
        causation_depth=cause.depth,
    )


def _checked(model: type[Any], parameters: Any) -> Any:
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = ".".join(map(str, found["loc"]))
        raise InvalidInput(f"{place}: {found['msg']}", code="action.bad_parameter") from None
