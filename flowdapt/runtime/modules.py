"""Decide where a stage's code is found and when it is stale: an edit is seen by the next task.

`user_modules.NAME` and the project's own folders are imported without bytecode files, whose times
have whole seconds only: two edits within one second would otherwise run the first one twice.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from importlib.util import find_spec, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flowdapt.domain.errors import TargetMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType

__all__ = ["USER_PACKAGE", "ImportFailed", "Targets"]

USER_PACKAGE = "user_modules"
# Looking at a file takes a microsecond. Where there are many, a burst of tasks looks once.
_FEW = 12
_LOOK_EVERY_S = 0.002

Stamp = tuple[int, int, int]
# How each source file was when it was read: looking afterwards could miss an edit in between.
_read: dict[str, Stamp | None] = {}


class ImportFailed(Exception):
    """The module of a target raised while it was imported; the cause says what."""


class _SourceLoader(SourceFileLoader):
    """Compile the source each time; read and write no bytecode."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        _read[path] = _stamp(path)
        return self.source_to_code(self.get_data(path), path)


class _UserPackage:
    """Finds the package `user_modules`: the folder of that home, with or without an `__init__.py`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != USER_PACKAGE:
            return None
        first = f"{self._folder}/__init__.py"
        if os.path.exists(first):
            return spec_from_file_location(
                name,
                first,
                loader=_SourceLoader(name, first),
                submodule_search_locations=[self._folder],
            )
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [self._folder]
        return spec


class Targets:
    """Finds the callables that stages name, and forgets them when their source changes."""

    def __init__(self, user_modules: str = "", python_path: Sequence[str] = ()) -> None:
        self._user_modules = os.path.abspath(user_modules) if user_modules else ""
        paths = [os.path.abspath(path) for path in python_path]
        self._roots = tuple(f"{root}/" for root in [self._user_modules, *paths] if root)
        self._found: dict[str, Callable[..., Any]] = {}
        self._stamps: dict[str, Stamp | None] = {}
        self._loaded = 0
        self._looked_at = 0.0
        self._package = _UserPackage(self._user_modules)
        self._install(paths)

    def find(self, target: str) -> Callable[..., Any]:
        """Return the callable; raise TargetMissing, or ImportFailed caused by what its module raised."""
        if self._roots:
            self._drop_stale()
        function = self._found.get(target)
        if function is None:
            function = self._found[target] = _resolve(target)
            self._watch()
        return function

    def _install(self, paths: Sequence[str]) -> None:
        if not self._roots:
            return
        sys.path_hooks.insert(0, self._finder_for)
        at = next((n for n, p in enumerate(sys.path) if "-packages" in p), len(sys.path))
        # Behind the standard library: a json.py of the project must not replace Python's own.
        sys.path[at:at] = [path for path in paths if path not in sys.path]
        for path in (*paths, self._user_modules):
            sys.path_importer_cache.pop(path, None)
        if self._user_modules:
            sys.meta_path.insert(0, self._package)
            _unload_user_package()

    def close(self) -> None:
        """Take back what was put into Python's import system, for a process that goes on."""
        if not self._roots:
            return
        self._forget()
        if self._finder_for in sys.path_hooks:
            sys.path_hooks.remove(self._finder_for)
        if self._package in sys.meta_path:
            sys.meta_path.remove(self._package)
        sys.path[:] = [path for path in sys.path if f"{path}/" not in self._roots]
        for path in list(sys.path_importer_cache):
            if f"{path}/".startswith(self._roots):
                del sys.path_importer_cache[path]

    def _finder_for(self, path: str) -> FileFinder:
        if not f"{path}/".startswith(self._roots):
            raise ImportError("not a folder of stage code")
        return FileFinder(
            path,
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (_SourceLoader, SOURCE_SUFFIXES),
        )

    # -- edits -------------------------------------------------------------------------------------

    def _drop_stale(self) -> None:
        if len(self._stamps) > _FEW:
            now = time.monotonic()
            if now - self._looked_at < _LOOK_EVERY_S:
                return
            self._looked_at = now
        if len(sys.modules) != self._loaded:
            self._watch()
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                self._forget()
                return

    def _watch(self) -> None:
        """Note the files of the stage code that is loaded now."""
        self._loaded = len(sys.modules)
        for module in list(sys.modules.values()):
            path = _file_of(module)
            if path and path not in self._stamps and path.startswith(self._roots):
                self._stamps[path] = _read.get(path) or _stamp(path)

    def _forget(self) -> None:
        """Unload all stage code: a module may hold names of the one that changed."""
        for name, module in list(sys.modules.items()):
            path = _file_of(module)
            if path and path.startswith(self._roots):
                del sys.modules[name]
        _unload_user_package()
        importlib.invalidate_caches()
        self._stamps.clear()
        self._found.clear()


def _file_of(module: object) -> str | None:
    """Return a module's file without waking a lazy one up."""
    found = getattr(module, "__dict__", {}).get("__file__")
    return found if isinstance(found, str) else None


def _unload_user_package() -> None:
    for name in list(sys.modules):
        if name == USER_PACKAGE or name.startswith(f"{USER_PACKAGE}."):
            del sys.modules[name]


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _resolve(target: str) -> Callable[..., Any]:
    module, names = _import_target(target)
    found: Any = module
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetMissing(
                f"{target}: {getattr(found, '__name__', found)!r}{_place(found)} has no {name!r}",
                fix="correct the stage's target, or define the function",
            ) from None
    if not callable(found):
        raise TargetMissing(f"{target} is a {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function


def _place(found: Any) -> str:
    """Return where a module lies: most often another home's was meant."""
    place = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", ())), None)
    return f" ({place})" if isinstance(found, ModuleType) and place else ""


def _import_target(target: str) -> tuple[ModuleType, list[str]]:
    """Return (module, names inside it) of `pkg.mod:name` or of a dotted path."""
    if ":" in target:
        module, _, rest = target.partition(":")
        return _import(module, target), rest.split(".")
    parts = target.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:cut])
        if cut == 1 or _exists(name):
            return _import(name, target), parts[cut:]
    raise TargetMissing(f"{target} is not a dotted path", fix="write package.module.function")


def _exists(name: str) -> bool:
    """Say whether a module of that name can be found; its parents are imported for it."""
    if name in sys.modules:
        return True
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
    except Exception as error:
        raise ImportFailed(name) from error


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetMissing(
                f"{target}: there is no module {error.name!r}",
                fix="correct the stage's target, or put the module where workers find it",
            ) from None
        raise ImportFailed(name) from error
    except Exception as error:
        raise ImportFailed(name) from error
