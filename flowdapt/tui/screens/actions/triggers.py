"""What a person does to trigger rules: fire by hand, pause, resume, try on a past event, ask why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowdapt.client.endpoints import system
from flowdapt.domain.condition_nodes import Clause
from flowdapt.domain.display import json_text
from flowdapt.domain.fire import FireState
from flowdapt.domain.run import Reason
from flowdapt.domain.trigger_views import TriggerState, TriggerStatus, TriggerTest
from flowdapt.domain.wording import amount, coarse, moment
from flowdapt.tui.keys import Key
from flowdapt.tui.model.events import about, kind_of
from flowdapt.tui.model.words import age
from flowdapt.tui.screens.actions.bulk import do_to_all
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.dialogs import Confirm
from flowdapt.tui.widgets.why import Why

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["TriggerActions", "fire_rule"]

_EVENTS = 50


class TriggerActions(View):
    """Mixed into screens that show rules; these say which are meant."""

    def chosen_rules(self) -> Sequence[TriggerStatus]:
        """Return the marked rules, or the one in sight."""
        return ()

    def why_not(self, key: Key) -> str | None:
        rules = self.chosen_rules()
        if key.id in {"fire", "pause", "test", "why"} and not rules:
            return "there is no rule"
        if key.id in {"fire", "test"} and rules and rules[0].state is TriggerState.BROKEN:
            return f"the rule is broken: {rules[0].broken}"
        if key.id == "pause" and all(rule.state is TriggerState.DISABLED for rule in rules):
            return "it is disabled by its document: edit it"
        return super().why_not(key)

    async def act_fire(self) -> None:
        await fire_rule(self.desk, self.chosen_rules()[0])

    async def act_pause(self) -> None:
        """Pause what is armed, or let what is paused go on."""
        rules = list(self.chosen_rules())
        resume = all(rule.state is TriggerState.PAUSED for rule in rules)
        change = self.client.triggers.resume if resume else self.client.triggers.pause
        done = "resumed" if resume else "paused"
        await do_to_all(self.desk, done, rules, lambda rule: change(rule.name))
        for rule in rules:
            command = "resume" if resume else "pause"
            self.desk.record.add(self.desk.now(), "trigger", command, rule.name)
        if len(rules) == 1:
            self.desk.say(f"{done} {rules[0].name}")

    async def act_test(self) -> None:
        """Say what the rule would do, on an event of the past when it waits for events."""
        rule = self.chosen_rules()[0]
        event: int | None = None
        if rule.type == "condition":
            page = await self.client.ask(system.events(tail=True, limit=_EVENTS))
            choices = [(str(one["cursor"]), f"{kind_of(one)}  {about(one)}") for one in reversed(page["items"])]  # fmt: skip
            chosen = await self.desk.ask(Choose(f"Try {rule.name} on which event?", choices))
            if chosen is None:
                return
            event = int(chosen)
        found = await self.client.triggers.test(rule.name, event=event)
        words = ["trigger", "test", rule.name, *(["--event", str(event)] if event else [])]
        self.desk.record.add(self.desk.now(), *words)
        await self.desk.ask(Why(_verdict(found), _told(found)))

    async def act_why(self) -> None:
        """Say why the rule did what it did last, or why it does nothing."""
        rule = await self.client.triggers.status(self.chosen_rules()[0].name)
        await self.desk.ask(Why(f"Why is {rule.name} {rule.state}?", _reasons(rule, self.desk)))


async def fire_rule(desk: FlowdaptApp, rule: TriggerStatus) -> None:
    """Fire a rule, whatever its time or condition; asked first."""
    if not await desk.ask(Confirm(f"Fire {rule.name} now?", "\n".join(rule.actions))):
        return
    fire = await desk.client.triggers.fire(rule.name)
    desk.record.add(desk.now(), "trigger", "fire", rule.name)
    if fire.state is FireState.STARTED:
        desk.say(f"{rule.name} started {amount(len(fire.runs), 'run')}")
        if len(fire.runs) == 1:
            desk.open_detail("run", fire.runs[0], "show")
    else:
        desk.say(f"{rule.name}: {fire.state}, {fire.error or fire.reason or ''}", "warn")


def _verdict(found: TriggerTest) -> str:
    return f"{found.rule} would {'fire' if found.fires else 'not fire'}"


def _told(found: TriggerTest) -> list[str]:
    told = [f"but: {one}" for one in found.obstacles]
    if found.clause is not None:
        told += list(_clauses(found.clause))
    told += [f"due: {moment(str(when))}" for when in found.due]
    if not found.due and found.next_at is not None:
        told.append(f"nothing is due before {moment(str(found.next_at))}")
    if found.missed:
        told.append(f"{found.missed} instants are not made up for")
    for action in found.actions:
        does = action.error or json_text(action.parameters)
        told.append(f"what it would do: {action.target}  {does}")
    return told


def _clauses(clause: Clause, depth: int = 0) -> list[str]:
    """Return the condition as a tree, each clause with what it came to."""
    why = f"   {clause.reason}" if clause.reason else ""
    lines = [f"{'  ' * depth}{'✔' if clause.held else '✖'} {clause.text}{why}"]
    for one in clause.children:
        lines += _clauses(one, depth + 1)
    return lines


def _reasons(rule: TriggerStatus, desk: FlowdaptApp) -> list[Reason]:
    """Return what holds a rule, when it fires next, and what it decided last."""
    now = desk.now()
    told: list[tuple[str, str | None]] = []
    if rule.state is TriggerState.BROKEN:
        told.append((f"it means nothing to this version: {rule.broken}", "e edits it"))
    if rule.state is TriggerState.DISABLED:
        told.append(("its document says enabled: false", "e edits it"))
    if rule.state is TriggerState.PAUSED:
        words = f"it was paused {age(rule.paused_at, now)} ago: {rule.paused_reason}"
        told.append((words, "p lets it go on from now"))
    if rule.failures:
        told.append((f"{rule.failures} fires in a row could not start anything", None))
    if rule.next_at is not None:
        left = coarse((rule.next_at - now).total_seconds())
        told.append((f"it fires next in {left}, at {moment(str(rule.next_at))}", "f fires it now"))
    elif rule.type == "condition" and rule.state is TriggerState.ARMED:
        told.append((f"it waits for an event: {rule.words}", "t tries it on a past event"))
    if rule.last is not None:
        last = rule.last
        why = last.error or last.reason or ""
        words = f"its last decision, {age(last.fired_at, now)} ago: {last.state}"
        told.append((f"{words}, {why}" if why else words, None))
    return [
        Reason(subject="", code=f"trigger.{rule.state}", message=text, fix=fix)
        for text, fix in told
    ]
