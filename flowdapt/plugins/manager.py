"""Find plugins, ask their hooks, import what they declare; name the broken ones and go on without them.

What a hook may declare is said in `hookspecs.py`; who uses it decides what the imported thing must be.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pluggy

from flowdapt.domain.errors import InvalidInput
from flowdapt.plugins import builtin, hookspecs
from flowdapt.plugins.hookspecs import ENTRY_POINT_GROUP, PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

    from pydantic import BaseModel

    from flowdapt.ports.action import Action
    from flowdapt.ports.broker import Broker
    from flowdapt.ports.executor import Executor

__all__ = ["BUILTIN", "PluginInfo", "Plugins"]

BUILTIN = "builtin"
_IMPORT_STRING = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9_+-]{0,31}")
# What is written with the fire itself (`domain.actions.BUILT_IN`), and no hook provides.
_TAKEN = {"action": ("run_workflow", "publish_event")}


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plugin as `plugin ls` shows it. `provides` are `executor:NAME` and the like.

    `enabled` is False when it could not be loaded; `error` says what went wrong, also where only a
    part of it is left out.
    """

    name: str
    distribution: str = ""
    version: str = ""
    enabled: bool = True
    builtin: bool = False
    hooks: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    error: str | None = None


@dataclass(slots=True)
class _Declared:
    executor: dict[str, str] = field(default_factory=dict)
    broker: dict[str, str] = field(default_factory=dict)
    action: dict[str, str] = field(default_factory=dict)
    format: dict[str, str] = field(default_factory=dict)
    extension: list[str] = field(default_factory=list)


class Plugins:
    """The plugins of this installation. Made once, at start; loading one imports its own module."""

    def __init__(self, entry_points: Iterable[EntryPoint] | None = None) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._infos: dict[str, PluginInfo] = {}
        self._declared = _Declared()
        self._add(BUILTIN, builtin, _info_of_ourselves())
        for entry_point in installed() if entry_points is None else entry_points:
            self._load(entry_point)

    def plugins(self) -> list[PluginInfo]:
        """Return every plugin that was found, also those that could not be loaded."""
        return list(self._infos.values())

    def executor_kinds(self) -> list[str]:
        """Return the kinds of executors that can be had."""
        return sorted(self._declared.executor)

    def executor(self, kind: str) -> type[Executor]:
        """Import an executor's class; raise InvalidInput for an unknown kind or a broken one."""
        from flowdapt.ports.executor import Executor

        found: type[Executor] = _imported("executor", kind, self._declared.executor, Executor)
        return found

    def broker_kinds(self) -> list[str]:
        """Return the kinds of brokers that can be had."""
        return sorted(self._declared.broker)

    def broker(self, kind: str) -> type[Broker]:
        """Import a broker's class; raise InvalidInput for an unknown kind or a broken one."""
        from flowdapt.ports.broker import Broker

        found: type[Broker] = _imported("broker", kind, self._declared.broker, Broker)
        return found

    def action_names(self) -> list[str]:
        """Return the names of actions that rules can have."""
        return sorted(self._declared.action)

    def action(self, name: str) -> type[Action]:
        """Import an action's class; raise InvalidInput for an unknown name or a broken one."""
        from flowdapt.ports.action import Action

        found: type[Action] = _imported("action", name, self._declared.action, Action)
        model = getattr(found, "parameters", None)
        if not _is_model(model) or getattr(found, "name", None) != name:
            words = f"its class says neither `name = {name!r}` nor which model `parameters` is"
            raise _unusable("action", name, self._declared.action[name], words)
        return found

    def action_models(self) -> Mapping[str, type[BaseModel]]:
        """Import every action and return its parameters' model; a broken one is named and left out."""
        from flowdapt.domain.actions import BUILT_IN

        models = dict(BUILT_IN)
        for name in self.action_names():
            try:
                models[name] = self.action(name).parameters
            except InvalidInput as error:
                self._tell(f"action:{name}", error.message)
        return models

    def worker_extensions(self) -> tuple[str, ...]:
        """Return the import strings that every worker calls when it starts; formats first."""
        return (*self._declared.format.values(), *self._declared.extension)

    # -- inside ----------------------------------------------------------------------------------

    def _tell(self, provided: str, words: str) -> None:
        """Show with its plugin what is wrong with a thing that it declares."""
        for name, info in self._infos.items():
            if provided in info.provides and words not in (info.error or ""):
                told = "; ".join(filter(None, [info.error, words]))
                self._infos[name] = replace(info, error=told)

    def _load(self, entry_point: EntryPoint) -> None:
        info = _info_of(entry_point)
        if info.name in self._infos:
            name = f"{info.name} ({info.distribution})"
            error = f"another plugin is named {info.name!r}"
            self._infos[name] = replace(info, name=name, enabled=False, error=error)
            return
        try:
            module = entry_point.load()
        # A plugin's import may do anything, exit included: the daemon starts without it.
        except (Exception, SystemExit) as error:
            self._infos[info.name] = _broken(info, f"its import failed: {_words(error)}")
        else:
            self._add(info.name, module, info)

    def _add(self, name: str, module: object, info: PluginInfo) -> None:
        try:
            self._manager.register(module, name)
            self._manager.check_pending()
        except Exception as error:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self._infos[name] = _broken(info, f"it does not fit: {_words(error)}")
            return
        self._infos[name] = self._ask(module, info)

    def _ask(self, module: object, info: PluginInfo) -> PluginInfo:
        """Collect what one plugin declares; a hook that fails costs that hook alone."""
        provides: list[str] = []
        errors: list[str] = []
        hooks = self._hooks_of(module)
        for hook, function in hooks.items():
            try:
                provides += self._collect(hook, function())
            except Exception as error:
                errors.append(f"{hook}: {_words(error)}")
        return replace(
            info,
            hooks=tuple(hooks),
            provides=tuple(provides),
            error="; ".join(errors) or None,
        )

    def _hooks_of(self, module: object) -> dict[str, Callable[[], Any]]:
        callers = self._manager.get_hookcallers(module) or []
        return {
            caller.name: one.function
            for caller in callers
            for one in caller.get_hookimpls()
            if one.plugin is module
        }

    def _collect(self, hook: str, value: object) -> list[str]:
        if hook == "flowdapt_worker_extensions":
            names = _strings(value)
            self._declared.extension += names
            return [f"extension:{name}" for name in names]
        what = hook.removeprefix("flowdapt_").removesuffix("s")
        known: dict[str, str] = getattr(self._declared, what)
        new = _mapping(value)
        if taken := sorted(set(new) & {*known, *_TAKEN.get(what, ())}):
            raise ValueError(f"{what} {', '.join(taken)}: another plugin has that name")
        known |= new
        return [f"{what}:{kind}" for kind in new]


def installed() -> list[EntryPoint]:
    """Return the entry points of installed plugins, by name."""
    return sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda e: e.name)


def _mapping(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError(f"it returned {type(value).__name__}, not a mapping of import strings")
    for kind, name in value.items():
        if not (isinstance(kind, str) and _KIND.fullmatch(kind)):
            raise ValueError(f"{kind!r} is not a name of a-z 0-9 _ + -")
        _check_import_string(name)
    return dict(value)


def _strings(value: object) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"it returned {type(value).__name__}, not a list of import strings")
    for name in value:
        _check_import_string(name)
    return list(value)


def _check_import_string(name: object) -> None:
    if not (isinstance(name, str) and _IMPORT_STRING.fullmatch(name)):
        raise ValueError(f"{name!r} is not an import string: write package.module:name")


def _imported(what: str, kind: str, known: Mapping[str, str], base: type) -> Any:
    if (name := known.get(kind)) is None:
        near = get_close_matches(kind[:64], known, 1)
        raise InvalidInput(
            f"there is no {what} of kind {kind!r}",
            fix=f"did you mean {near[0]!r}?"
            if near
            else f"use one of {', '.join(sorted(known))}, or install its plugin",
            code="plugin.unknown_kind",
        )
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise _unusable(what, kind, name, _words(error)) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise _unusable(what, kind, name, f"it is not a subclass of {base.__name__}")
    return found


def _is_model(value: object) -> bool:
    from pydantic import BaseModel

    return isinstance(value, type) and issubclass(value, BaseModel)


def _unusable(what: str, kind: str, name: str, words: str) -> InvalidInput:
    return InvalidInput(
        f"{what} {kind!r} ({name}) cannot be used: {words}",
        fix="flowdapt plugin ls shows where it comes from",
        code="plugin.broken",
    )


def _info_of_ourselves() -> PluginInfo:
    from flowdapt import __version__

    return PluginInfo(BUILTIN, PROJECT, __version__, builtin=True)


def _info_of(entry_point: EntryPoint) -> PluginInfo:
    distribution = entry_point.dist
    if distribution is None:
        return PluginInfo(entry_point.name)
    return PluginInfo(entry_point.name, distribution.name, distribution.version)


def _broken(info: PluginInfo, words: str) -> PluginInfo:
    return replace(info, enabled=False, error=words)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
