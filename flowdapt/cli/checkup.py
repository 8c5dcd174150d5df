"""Decide what can be wrong with files, socket, settings and store, and which of it is safe to mend.

Each check yields findings; what it mends itself is told by `mend`.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowdapt.cli.offline import new_store, owned_files, sqlite_file
from flowdapt.cli.session import Session
from flowdapt.cli.starting import answers
from flowdapt.client.endpoints import system, triggers
from flowdapt.domain.errors import AlreadyRunning, FlowdaptError, StartRefused
from flowdapt.paths import Paths, ensure_private_directory

if TYPE_CHECKING:
    from flowdapt.settings import Settings

__all__ = ["Finding", "examine"]

_GROUP_OR_WORLD = 0o077
_OLD_S = 3600.0
_PAGE = 500
# Files of stages and of user code carry the modes that their owners gave them.
_NOT_OURS = ("user_modules", "artifacts", "values")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `level` is ok, warning or problem; `mend` puts it right, where safe."""

    check: str
    level: str
    message: str
    fix: str | None = None
    mend: Callable[[], object] | None = None


def examine(session: Session) -> Iterator[Finding]:
    """Look at everything; with a daemon running the store is checked through it."""
    paths = session.paths
    running = answers(paths)
    yield from _directories(paths)
    yield from _settings(paths)
    yield from _socket(paths, running=running)
    yield from _modes(paths)
    yield from _leftovers(paths)
    yield from _user_modules(paths)
    yield from _through_the_daemon(session) if running else _on_the_files()


def _directories(paths: Paths) -> Iterator[Finding]:
    wrong = False
    for path, strict in ((paths.data, False), (paths.logs, False), (paths.runtime, True)):
        if not path.exists():
            if path == paths.data and not _can_be_made(path):
                wrong = True
                yield Finding(
                    "directories",
                    "problem",
                    f"{path} cannot be made",
                    "set FLOWDAPT_HOME to a directory that you may write",
                )
            continue
        try:
            ensure_private_directory(path, strict=strict)
        except StartRefused as error:
            wrong = True
            ours = path.lstat().st_uid == os.geteuid() and not path.is_symlink()
            loose = stat.S_IMODE(path.lstat().st_mode) & (_GROUP_OR_WORLD if strict else 0o022)
            mend = (lambda path=path: path.chmod(0o700)) if ours and loose else None
            yield Finding("directories", "problem", error.message, error.fix, mend)
    if not wrong:
        yield Finding("directories", "ok", f"{paths.data} is private and writable")


def _can_be_made(path: Path) -> bool:
    above = next(one for one in path.parents if one.exists())
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def _settings(paths: Paths) -> Iterator[Finding]:
    from flowdapt.settings import load_settings

    try:
        load_settings(paths)
    except FlowdaptError as error:
        yield Finding("settings", "problem", error.message, error.fix)
    else:
        where = paths.config_file if paths.config_file.exists() else "the defaults"
        yield Finding("settings", "ok", f"{where} can be read")


def _socket(paths: Paths, *, running: bool) -> Iterator[Finding]:
    if running:
        yield Finding("daemon", "ok", f"a daemon answers at {paths.socket}")
        if stat.S_IMODE(paths.socket.stat().st_mode) & _GROUP_OR_WORLD:
            yield Finding(
                "daemon", "problem", f"{paths.socket} is open to other users",
                f"chmod 600 {paths.socket}", lambda: paths.socket.chmod(0o600),
            )  # fmt: skip
    elif _is_stale(paths.socket):
        yield Finding(
            "daemon", "warning", f"{paths.socket} is left over from a daemon that was killed",
            "the next start removes it", lambda: _remove_stale(paths.socket),
        )  # fmt: skip
    else:
        yield Finding("daemon", "ok", "no daemon is running")


def _is_stale(path: Path) -> bool:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(path)) != 0


def _remove_stale(path: Path) -> None:
    """Look again first: a daemon may have come meanwhile."""
    if _is_stale(path):
        path.unlink(missing_ok=True)


def _files(paths: Paths) -> Iterator[Path]:
    for root in dict.fromkeys((paths.data, paths.config, paths.logs)):
        for folder, names, files in os.walk(root):
            names[:] = [name for name in names if name not in _NOT_OURS]
            yield from (Path(folder) / name for name in files)


def _modes(paths: Paths) -> Iterator[Finding]:
    loose = [
        path
        for path in _files(paths)
        if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) & _GROUP_OR_WORLD
    ]
    loose = [path for path in loose if path != paths.config_file]
    for path in loose:
        yield Finding(
            "modes", "warning", f"others may read {path}", f"chmod 600 {path}",
            lambda path=path: path.chmod(0o600),  # type: ignore[misc]  # binds the path of this turn
        )  # fmt: skip
    if not loose:
        yield Finding("modes", "ok", "no file is open to other users")


def _leftovers(paths: Paths) -> Iterator[Finding]:
    """Temporary files that nobody renamed: their writer was killed."""
    before = time.time() - _OLD_S
    old = [
        path
        for path in _files(paths)
        if path.name.startswith(".")
        and path.suffix in {".tmp", ".part"}
        and path.lstat().st_mtime < before
    ]
    for path in old:
        yield Finding(
            "leftovers", "warning", f"{path} was never finished", f"rm {path}",
            lambda path=path: path.unlink(missing_ok=True),  # type: ignore[misc]  # binds the path of this turn
        )  # fmt: skip


def _user_modules(paths: Paths) -> Iterator[Finding]:
    """A module that Python cannot read fails every stage in it; nothing of it is run here."""
    for path in sorted(paths.user_modules.rglob("*.py")) if paths.user_modules.is_dir() else ():
        try:
            compile(path.read_bytes(), path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, OSError) as error:
            line = getattr(error, "lineno", None)
            place = f"{path}:{line}" if line else str(path)
            yield Finding(
                "user modules", "warning", f"{place}  {getattr(error, 'msg', error)}", "correct it"
            )


def _through_the_daemon(session: Session) -> Iterator[Finding]:
    try:
        yield from _invariants(session.ask(system.check())["problems"])
        found: dict[str, Any] = session.ask(system.gc(dry_run=True))
    except FlowdaptError as error:
        yield Finding("store", "problem", error.message, error.fix)
        return
    if found["orphans"]:
        yield Finding(
            "orphans", "warning", f"{found['orphans']} files belong to no run",
            "flowdapt db gc", lambda: session.ask(system.gc()),
        )  # fmt: skip
    for warning in session.ask(system.status()).get("warnings", ()):
        if not warning.startswith("trigger rule"):
            fix = "flowdapt db gc  deletes what may go" if "disk" in warning else "flowdapt status"
            yield Finding("daemon", "warning", warning, fix)
    yield from _triggers(session)
    for plugin in session.ask(system.plugins())["items"]:
        if plugin.get("error"):
            message = f"plugin {plugin['name']} is disabled: {plugin['error']}"
            yield Finding("plugins", "warning", message, "install another version of it")


def _triggers(session: Session) -> Iterator[Finding]:
    """Name the rules that do not fire although nobody meant that."""
    cursor = None
    while True:
        page = session.ask(triggers.list_(cursor=cursor, limit=_PAGE))
        for rule in page["items"]:
            name = rule["name"]
            if rule["state"] == "broken":
                message = f"rule {name} means nothing: {rule['broken']}"
                yield Finding("triggers", "warning", message, f"flowdapt edit trigger {name}")
            elif rule["state"] == "paused" and rule["failures"]:
                message = f"rule {name} is paused: {rule['paused_reason']}"
                fix = f"flowdapt trigger history {name}, then  flowdapt trigger resume {name}"
                yield Finding("triggers", "warning", message, fix)
        cursor = page.get("next")
        if cursor is None:
            return


def _on_the_files() -> Iterator[Finding]:
    try:
        with owned_files() as settings:
            yield from _store(settings)
    except AlreadyRunning as error:
        yield Finding(
            "daemon", "problem", f"{error.message}, and it does not answer",
            f"kill {error.details.get('pid') or 'it'}, then  flowdapt up",
        )  # fmt: skip
    except FlowdaptError as error:
        yield Finding("store", "problem", error.message, error.fix)


def _store(settings: Settings) -> Iterator[Finding]:
    import trio

    from flowdapt.services.checkup import find_problems
    from flowdapt.stores.values import FileValueStore

    if settings.on_sqlite:
        database = sqlite_file(settings)
        if not database.exists():
            yield Finding("store", "ok", "there is no database yet")
            return
        # Opening a damaged database would put it aside: look first.
        damage = _damage(database)
        if damage:
            yield _damaged(settings, database, damage)
            return
    store = new_store(settings)

    async def checked() -> list[str]:
        await store.open()
        try:
            return await find_problems(store, FileValueStore(settings.paths.data / "values"))
        finally:
            await store.close()

    yield from _invariants(trio.run(checked))


def _damage(database: Path) -> str | None:
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(database)) as connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if verdict == "ok" else verdict


def _damaged(settings: Settings, database: Path, damage: str) -> Finding:
    from flowdapt.stores.backup import newest_good

    good = newest_good(settings.paths.backups)
    fix = f"flowdapt db restore {good}" if good else "there is no good backup; keep the file"
    return Finding("store", "problem", f"{database} is damaged: {' '.join(damage.split())}", fix)


def _invariants(problems: list[str]) -> Iterator[Finding]:
    for problem in problems:
        yield Finding("store", "problem", problem, "keep a copy:  flowdapt bundle")
    if not problems:
        yield Finding("store", "ok", "every invariant holds")
