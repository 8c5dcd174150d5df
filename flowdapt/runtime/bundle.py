"""Decide which of a user's files travel to workers on other machines, and put them into one value.

The same files give the same bytes; a tree that did not change is not read twice. What workers do
with the value is `unbundle.py`; how it reaches them is the executor's.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
import time
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flowdapt.domain.errors import TooLarge
from flowdapt.runtime.facts import editable_plugins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["MAX_BYTES", "Bundle", "Packer", "plugin_sources"]

MAX_BYTES = 20 * 1024 * 1024
# More are no project but somebody's home directory.
MAX_FILES = 20_000
# A larger file is code or data; data belongs into artifacts.
_DATA_MAX_BYTES = 1024 * 1024
_CODE = (".py", ".pyi", ".so", ".pyd")
_NEVER = (".pyc", ".pyo", ".swp", ".tmp", ".log", ".db", ".sqlite", ".sqlite3", "-wal", "-shm", "~")
_CACHES = frozenset({"__pycache__", "node_modules", "site-packages", "__pypackages__"})
_EPOCH = (1980, 1, 1, 0, 0, 0)
# A look at the tree costs this part of the time between two looks at most, up to the second number.
_LOOKING_SHARE, _LOOK_EVERY_S = 4, 0.25
# Runs that had a look of their own; forgetting them costs a look.
_RUNS_MAX = 1000

# Archive name -> path, and how the file was when it was found.
Found = dict[str, tuple[str, int, int, int]]


@dataclass(frozen=True, slots=True)
class Bundle:
    """User code as one value: `files` of them. `left_out` names, at most twenty, those that stay here.

    `data` is a zip of `user_modules/…`, `path/0/…`, `path/1/…` and `plugins/…`.
    """

    sha256: str
    data: bytes
    left_out: tuple[str, ...] = ()
    files: int = 0


class Packer:
    """Packs the folders of one environment, anew whenever a file in them changed.

    `apart` are folders inside them that do not belong to the code, such as the daemon's own data.
    `plugins` are packages or modules (paths) that are put onto the import path of the workers; None:
    those of plugins that are installed as somebody's folder.
    """

    def __init__(
        self,
        user_modules: str = "",
        python_path: Sequence[str] = (),
        plugins: Iterable[str] | None = None,
        *,
        apart: Iterable[str] = (),
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if plugins is None:
            plugins = [path for paths in plugin_sources().values() for path in paths]
        roots = [("user_modules", user_modules)] if user_modules else []
        roots += [(f"path/{n}", path) for n, path in enumerate(python_path)]
        roots += [(f"plugins/{os.path.basename(path)}", path) for path in plugins]
        self._roots = [(name, os.path.realpath(path)) for name, path in roots]
        # `user_modules` within a folder of the import path is found as that package all the same.
        self._apart = {os.path.realpath(path) for path in (*apart, user_modules) if path}
        self._max_bytes = max_bytes
        self._found: Found | None = None
        self._bundle = Bundle("", b"")
        self._look_at = 0.0
        self._runs: set[str] = set()
        self._one_at_a_time = threading.Lock()

    def pack(self, run: str = "") -> Bundle:
        """Return the bundle of the files as they are now; raise TooLarge naming the largest ones.

        What was seen within the last quarter of a second may be taken for now, but not by the first
        task of a run: whoever edits a file and then starts a run has the edit. Blocks while it reads
        the disk: milliseconds for a look, more after a change. Any thread may call it.
        """
        with self._one_at_a_time:
            if run in self._runs and time.monotonic() < self._look_at:
                return self._bundle
            self._look()
            self._runs = {*self._runs, run} if len(self._runs) < _RUNS_MAX else {run}
            return self._bundle

    def _look(self) -> None:
        began = time.monotonic()
        walk = _Walk(self._apart)
        for name, path in self._roots:
            walk.add(name, path)
        ended = time.monotonic()
        self._look_at = ended + min(_LOOK_EVERY_S, _LOOKING_SHARE * (ended - began))
        if walk.found != self._found:
            self._bundle = _packed(walk, self._max_bytes)
            self._found = walk.found


class _Walk:
    """What is found under the roots; links are followed, each folder is entered once per root."""

    def __init__(self, apart: set[str]) -> None:
        self.found: Found = {}
        self.left_out: list[str] = []
        self._apart = apart

    def add(self, name: str, path: str) -> None:
        if os.path.isfile(path):
            self._take(name, path)
        else:
            self._enter(name, path, set())

    def _enter(self, name: str, folder: str, entered: set[str]) -> None:
        real = os.path.realpath(folder)
        if real in entered or _is_environment(real):
            return
        entered.add(real)
        for entry in sorted(_entries(real), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name in _CACHES:
                continue
            if not _is_folder(entry):
                self._take(f"{name}/{entry.name}", entry.path)
            elif os.path.realpath(entry.path) not in self._apart:
                self._enter(f"{name}/{entry.name}", entry.path, entered)

    def _take(self, name: str, path: str) -> None:
        try:
            info = os.stat(path)
        except OSError:  # gone, or a link to nothing
            return
        if not stat.S_ISREG(info.st_mode) or name.endswith(_NEVER):
            return
        if not _is_text(name) or (info.st_size > _DATA_MAX_BYTES and not name.endswith(_CODE)):
            self.left_out.append(name)
            return
        if len(self.found) >= MAX_FILES:
            raise _too_many(path)
        self.found[name] = (path, info.st_mtime_ns, info.st_size, info.st_ino)


def plugin_sources(names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return packages and modules (paths) of plugins that are installed as somebody's folder.

    Workers elsewhere cannot have them installed. Of `names` only, when some are given.
    """
    chosen = set(names)
    found: dict[str, list[str]] = {}
    for name, modules in editable_plugins().items():
        if not chosen or name in chosen:
            found[name] = [path for module in modules for path in _places(module)]
    return {name: paths for name, paths in found.items() if paths}


def _places(module: str) -> list[str]:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    return list(spec.submodule_search_locations or filter(None, [spec.origin]))


def _packed(walk: _Walk, max_bytes: int) -> Bundle:
    if sum(size for _, _, size, _ in walk.found.values()) > max_bytes:
        raise _too_large(walk.found, max_bytes)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(walk.found):
            path, _, size, _ = walk.found[name]
            if (content := _read(path, size)) is not None:
                archive.writestr(_member(name, path), content)
    data = buffer.getvalue()
    left_out = tuple(sorted(walk.left_out)[:20])
    return Bundle(hashlib.sha256(data).hexdigest(), data, left_out, len(walk.found))


def _member(name: str, path: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
    return member


def _read(path: str, size: int) -> bytes | None:
    """Return what the file held when it was found: what grew since is told by the next look."""
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError:
        return None


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:
        return


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_environment(folder: str) -> bool:
    return os.path.exists(f"{folder}/pyvenv.cfg")


def _is_text(name: str) -> bool:
    """Say whether the name can be written in a zip: bytes that are no UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_large(found: Found, max_bytes: int) -> TooLarge:
    largest = sorted(((size, path) for path, _, size, _ in found.values()), reverse=True)[:3]
    total = sum(size for _, _, size, _ in found.values())
    told = ", ".join(f"{path} ({_mebibytes(size)})" for size, path in largest)
    return TooLarge(
        f"the code that travels to workers is {_mebibytes(total)}, more than {_mebibytes(max_bytes)}:"
        f" the largest files are {told}",
        code="executor.code_too_large",
        fix="keep data in artifacts, or install the code in the workers' environment",
    )


def _too_many(path: str) -> TooLarge:
    return TooLarge(
        f"more than {MAX_FILES:,} files would travel to workers; one of them is {path}",
        code="executor.code_too_large",
        fix="let python_path name the folder of the code alone",
    )


def _mebibytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MiB"
