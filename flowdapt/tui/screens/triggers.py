"""The trigger rules: what each means in words, what it decided last, when it fires next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from flowdapt.domain.fire import Fire
from flowdapt.domain.trigger_views import TriggerStatus
from flowdapt.domain.wording import coarse
from flowdapt.tui.model.news import RESOURCES, TRIGGERS
from flowdapt.tui.model.words import age
from flowdapt.tui.screens.actions.documents import DocumentActions
from flowdapt.tui.screens.actions.triggers import TriggerActions
from flowdapt.tui.screens.document_sheet import DocumentSheet
from flowdapt.tui.screens.listing import LISTED, Listing
from flowdapt.tui.screens.sheet import SHEET_KEYS, Sheet
from flowdapt.tui.screens.workflows import yaml_of
from flowdapt.tui.widgets.prose import Prose
from flowdapt.tui.widgets.table import Cell, Column

__all__ = ["Trigger", "Triggers"]

_MOST = 500
_SOON = 5
_LATELY = 8
_ROLES = {"armed": "good", "paused": "warn", "disabled": "dim", "broken": "bad"}
_GLYPHS = {"armed": "finished", "paused": "cancelling", "disabled": "skipped", "broken": "failed"}
_FIRE_ROLES = {"started": "good", "waiting": "busy", "skipped": "dim", "missed": "warn", "failed": "bad"}  # fmt: skip


def _state(rule: TriggerStatus, app: Any) -> Cell:
    word = rule.state.value
    return Cell(f"{app.glyphs.state(_GLYPHS[word])} {word}", _ROLES[word])


def _next(rule: TriggerStatus, app: Any) -> Cell:
    if rule.next_at is None:
        return Cell("on events" if rule.type == "condition" else "", "dim")
    return Cell(f"in {coarse((rule.next_at - app.now()).total_seconds())}")


def _last(rule: TriggerStatus, app: Any) -> Cell:
    if rule.last is None:
        return Cell("never", "dim")
    word = rule.last.state.value
    return Cell(f"{word} {age(rule.last.fired_at, app.now())}", _FIRE_ROLES.get(word, ""))


_COLUMNS: tuple[Column[TriggerStatus], ...] = (
    Column("state", _state, width=10, must=True),
    Column("rule", lambda rule, _: Cell(rule.name), least=12, must=True),
    Column("next", _next, right=True, must=True),
    Column("last", _last),
    Column("means", lambda rule, _: Cell(rule.broken or rule.words, "dim"), flex=True),
    Column("overlap", lambda rule, _: Cell(rule.overlap, "dim"), spare=True),
)


class Triggers(TriggerActions, DocumentActions, Listing[TriggerStatus]):
    """The view on key 4."""

    KEYS = (*LISTED, "fire", "pause", "test", "why", "edit", "diff", "apply", "delete", "describe")
    view, title_words = "triggers", "triggers"
    COLUMNS = _COLUMNS
    PARTS = (TRIGGERS, RESOURCES)
    EMPTY = "no rule: nothing starts by itself"

    document_kind = "trigger_rule"

    def chosen_rules(self) -> list[TriggerStatus]:
        return self.rows.chosen

    def chosen_documents(self) -> list[str]:
        return [rule.name for rule in self.rows.chosen]

    async def read(self) -> Sequence[TriggerStatus]:
        return (await self.client.triggers.list(limit=_MOST)).items

    async def tell(self, row: TriggerStatus) -> Prose:
        return await told_rule(self, row)

    def act_open(self) -> None:
        if self.current is not None:
            self.desk.open_detail("trigger", self.current.name)

    async def act_copy_yaml(self) -> None:
        names = [rule.name for rule in self.rows.chosen]
        found = [await self.client.resources.get("trigger_rule", name) for name in names]
        self.desk.copy("---\n".join(map(yaml_of, found)))


class Trigger(TriggerActions, DocumentSheet):
    """Everything about one rule."""

    KEYS = (*SHEET_KEYS, "fire", "pause", "test", "why", "edit", "diff", "delete")
    view, title_words = "triggers", "trigger"
    PARTS = (TRIGGERS, RESOURCES)
    document_kind = "trigger_rule"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._rule: TriggerStatus | None = None

    def chosen_rules(self) -> list[TriggerStatus]:
        return [] if self._rule is None else [self._rule]

    async def tell(self) -> Prose:
        rule = self._rule = await self.client.triggers.status(self.name_shown)
        document = await self.client.resources.get("trigger_rule", self.name_shown)
        prose = await told_rule(self, rule, soon=10, lately=50)
        return prose.head("document").text(yaml_of(document))

    async def act_copy_yaml(self) -> None:
        document = await self.client.resources.get("trigger_rule", self.name_shown)
        self.desk.copy(yaml_of(document))


async def told_rule(
    view: Listing[Any] | Sheet, rule: TriggerStatus, *, soon: int = _SOON, lately: int = _LATELY
) -> Prose:
    """Return what there is to say of a rule: its words, its next instants, its last decisions."""
    client, desk = view.client, view.desk
    prose = Prose(desk).text(rule.description, "dim") if rule.description else Prose(desk)
    prose.pair("means", rule.broken or rule.words, "bad" if rule.broken else "")
    prose.pair("does", "\n".join(rule.actions)).pair("overlap", rule.overlap)
    if rule.type != "condition":
        prose.pair("zone", rule.timezone).pair("catch up", rule.catch_up)
    if rule.paused_at is not None:
        prose.pair("paused", f"{rule.paused_reason} {age(rule.paused_at, desk.now())} ago", "warn")
    if rule.failures:
        prose.pair("failures", f"{rule.failures} in a row; at 10 it pauses by itself", "bad")
    async with asyncio.TaskGroup() as group:
        fires = group.create_task(client.triggers.fires(rule.name, limit=lately))
        outlook = (
            group.create_task(client.triggers.next(rule.name, soon))
            if rule.next_at is not None
            else None
        )
    if outlook is not None:
        prose.head("next")
        for when in outlook.result().next:
            left = coarse((when - desk.now()).total_seconds())
            prose.parts((f"{when:%Y-%m-%d %H:%M:%S}Z", ""), (f"  in {left}", "dim"))
    prose.head("decided")
    if not fires.result().items:
        prose.text("nothing so far", "dim")
    for fire in fires.result().items:
        _tell_fire(prose, fire, desk)
    return prose


def _tell_fire(prose: Prose, fire: Fire, desk: Any) -> None:
    word = fire.state.value
    started = f"  {len(fire.runs)} started" if len(fire.runs) > 1 else ""
    prose.parts(
        (f"{word:<8}", _FIRE_ROLES.get(word, "")),
        (f"{age(fire.fired_at, desk.now()):>5} ago", "dim"),
        (f"  {fire.error or fire.reason or ''}{started}", "dim"),
    )
