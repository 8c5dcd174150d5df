"""Decide what a workflow may say that needs more than one field: dependencies, maps, result, schema.

Looks at documents as they are written, so that one wrong field hides no other problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from flowdapt.domain.documents import Document
from flowdapt.domain.errors import Problem
from flowdapt.domain.graph import find_cycles
from flowdapt.domain.positions import Loc
from flowdapt.domain.schema import schema_faults

__all__ = ["OPTIONS", "broken_rules", "doubts"]

OPTIONS = ("map_on", "allow_partial_failure")
# Suggestions are a search each: enough for a person, bounded for a machine.
_MAX_SUGGESTIONS = 20
_MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class _Stage:
    """What is readable of a stage as it is written."""

    index: int
    value: Mapping[str, Any]
    name: str
    needs: tuple[str, ...]
    parameterized: bool

    @property
    def loc(self) -> Loc:
        return "spec", "stages", self.index

    def need_loc(self, position: int) -> Loc:
        scalar = isinstance(self.value.get("depends_on"), str)
        return (*self.loc, "depends_on") if scalar else (*self.loc, "depends_on", position)

    def option(self, name: str) -> tuple[Any, Loc]:
        options = self.value.get("options")
        if name not in self.value and isinstance(options, dict) and name in options:
            return options[name], (*self.loc, "options", name)
        return self.value.get(name), (*self.loc, name)


def broken_rules(document: Document, allowed_targets: Sequence[str]) -> list[Problem]:
    """Return the problems of a workflow's document beyond the shapes of its fields."""
    stages = list(_stages(document))
    problems = _Problems(document, [stage.name for stage in stages])
    problems.duplicates(stages)
    for stage in stages:
        problems.of_stage(stage, allowed_targets)
    problems.cycles(stages)
    problems.of_spec()
    return problems.found[:_MAX_PROBLEMS]


def doubts(document: Document) -> Iterator[str]:
    """Yield what is allowed and looks like a mistake."""
    for stage in _stages(document):
        target, _ = stage.option("map_on")
        if not stage.parameterized:
            for option in OPTIONS:
                if stage.option(option)[0]:
                    yield f'stage "{stage.name}" is simple, so `{option}` does nothing'
        elif isinstance(target, str) and target not in stage.needs:
            near = get_close_matches(target, stage.needs, 1)
            if near:
                yield (
                    f'stage "{stage.name}" maps over the input key "{target}"; '
                    f'the dependency "{near[0]}" has nearly that name'
                )


def _stages(document: Document) -> Iterator[_Stage]:
    spec = document.value.get("spec")
    stages = spec.get("stages") if isinstance(spec, dict) else None
    for index, value in enumerate(stages if isinstance(stages, list | tuple) else ()):
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            kind = value.get("type")
            yield _Stage(
                index, value, value["name"], _needs(value), kind in ("parameterized", "parameter")
            )


def _needs(stage: Mapping[str, Any]) -> tuple[str, ...]:
    needs = stage.get("depends_on")
    several = [needs] if isinstance(needs, str) else needs
    if not isinstance(several, list | tuple):
        return ()
    return tuple(need for need in several if isinstance(need, str))


class _Problems:
    """Collects what is wrong with one workflow."""

    def __init__(self, document: Document, names: Sequence[str]) -> None:
        self.found: list[Problem] = []
        self._document = document
        self._names = dict.fromkeys(names)
        self._suggestions = _MAX_SUGGESTIONS

    def duplicates(self, stages: Sequence[_Stage]) -> None:
        seen: set[str] = set()
        for stage in stages:
            if stage.name in seen:
                self._add(
                    "workflow.duplicate_stage",
                    f'there are two stages "{stage.name}"',
                    (*stage.loc, "name"),
                    fix="give one of them another name",
                )
            seen.add(stage.name)

    def of_stage(self, stage: _Stage, allowed_targets: Sequence[str]) -> None:
        self._options(stage)
        self._dependencies(stage)
        if stage.parameterized:
            self._map(stage)
        target = stage.value.get("target")
        if allowed_targets and isinstance(target, str) and not _allowed(target, allowed_targets):
            self._add(
                "workflow.target_not_allowed",
                f'stage "{stage.name}": the target {target[:140]!r} is not among the allowed ones',
                (*stage.loc, "target"),
                fix=f"targets.allowed has {', '.join(allowed_targets)}",
            )

    def _options(self, stage: _Stage) -> None:
        options = stage.value.get("options")
        for name in options if isinstance(options, dict) else ():
            if name not in OPTIONS:
                self._add(
                    "document.unknown_field",
                    f'`options` of stage "{stage.name}" has no field `{name[:100]}`',
                    (*stage.loc, "options", name),
                    near=self._near(name, OPTIONS),
                    fix=f"options are {', '.join(OPTIONS)}",
                    key=True,
                )

    def _dependencies(self, stage: _Stage) -> None:
        seen: set[str] = set()
        for position, need in enumerate(stage.needs):
            loc = stage.need_loc(position)
            if need == stage.name:
                self._add(
                    "workflow.self_dependency",
                    f'stage "{stage.name}" depends on itself',
                    loc,
                    fix="remove the dependency",
                )
            elif need not in self._names:
                self._unknown_need(stage, need, loc)
            elif need in seen:
                self._add(
                    "workflow.repeated_dependency",
                    f'stage "{stage.name}" depends on "{need}" twice',
                    loc,
                    fix="remove one of the two",
                )
            seen.add(need)

    def _unknown_need(self, stage: _Stage, need: str, loc: Loc) -> None:
        near = self._near(need, self._names)
        self._add(
            "workflow.unknown_dependency",
            f'stage "{stage.name}" depends on "{need[:140]}", which does not exist',
            loc,
            near=near,
            fix=f'write "{near}", or add the stage'
            if near
            else "add the stage, or remove the dependency",
        )

    def _map(self, stage: _Stage) -> None:
        target, loc = stage.option("map_on")
        if target is None and not stage.needs:
            self._add(
                "workflow.map_on_missing",
                f'stage "{stage.name}" has nothing to map over: it has no dependency and no `map_on`',
                stage.loc,
                fix="set `map_on` to a key of the input, or add a dependency",
            )
        elif isinstance(target, str) and target in self._names and target not in stage.needs:
            self._add(
                "workflow.map_on_unknown",
                f'stage "{stage.name}" maps over stage "{target}" and does not depend on it',
                loc,
                fix=f'add "{target}" to `depends_on`',
            )
        elif isinstance(target, str) and target not in stage.needs:
            self._input_key(stage, target, loc)

    def _input_key(self, stage: _Stage, target: str, loc: Loc) -> None:
        schema = self._document.value["spec"].get("input_schema")
        closed = isinstance(schema, dict) and schema.get("additionalProperties") is False
        keys = schema.get("properties") if closed else None
        if isinstance(keys, dict) and target not in keys and "patternProperties" not in schema:
            self._add(
                "workflow.map_on_unknown",
                f'stage "{stage.name}" maps over "{target[:140]}", which is neither a dependency nor an input key',
                loc,
                near=self._near(target, [*keys, *stage.needs]),
                fix="name a dependency, or a key of the input_schema",
            )

    def cycles(self, stages: Sequence[_Stage]) -> None:
        needs = {stage.name: [n for n in stage.needs if n != stage.name] for stage in stages}
        place = {stage.name: stage for stage in stages}
        for cycle in find_cycles(needs):
            first = place[cycle[0]]
            self._add(
                "workflow.cycle",
                f"the stages form a cycle: {' -> '.join(_shortened(cycle))}",
                first.need_loc(first.needs.index(cycle[1])),
                fix="remove one of these dependencies",
            )

    def of_spec(self) -> None:
        spec = self._document.value.get("spec")
        if not isinstance(spec, dict):
            return
        result, schema = spec.get("result"), spec.get("input_schema")
        if isinstance(result, str) and result not in self._names:
            self._add(
                "workflow.result_unknown",
                f'`result` names the stage "{result[:140]}", which does not exist',
                ("spec", "result"),
                near=self._near(result, self._names),
                fix="name a stage, or leave `result` out",
            )
        for loc, message in schema_faults(schema) if isinstance(schema, dict) else ():
            self._add(
                "workflow.bad_schema",
                f"input_schema: {message}",
                ("spec", "input_schema", *loc),
                fix="write JSON Schema, draft 2020-12",
            )

    def _near(self, word: str, words: Sequence[str] | Mapping[str, None]) -> str | None:
        if self._suggestions <= 0:
            return None
        self._suggestions -= 1
        near = get_close_matches(word[:140], list(words), 1)
        return near[0] if near else None

    def _add(
        self,
        code: str,
        message: str,
        loc: Loc,
        *,
        near: str | None = None,
        fix: str | None = None,
        key: bool = False,
    ) -> None:
        if len(self.found) < _MAX_PROBLEMS:
            self.found.append(
                self._document.problem(code, message, loc, key=key, suggestion=near, fix=fix)
            )


def _allowed(target: str, prefixes: Sequence[str]) -> bool:
    dotted = target.replace(":", ".")
    return any(dotted == prefix or dotted.startswith(f"{prefix}.") for prefix in prefixes)


def _shortened(cycle: Sequence[str]) -> Sequence[str]:
    shown = 12
    return cycle if len(cycle) <= shown else [*cycle[: shown - 2], "…", cycle[-1]]
