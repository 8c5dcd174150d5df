"""Decide where files of this user lie: config, data, runtime files and logs, and the daemon's socket.

Small and quick to import, since every client command begins here. What lies inside the data
directory is its owners' business (`stores`, `runtime`); who may write there is checked here.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.domain.errors import StartRefused, StoreUnwritable, UnsafeDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["SOCKET_PATH_MAX_BYTES", "Paths", "ensure_private_directory", "find_paths"]

# sun_path holds 108 bytes on Linux, the last of them NUL.
SOCKET_PATH_MAX_BYTES = 107
_SOCKET = "flowdapt.sock"


@dataclass(frozen=True, slots=True)
class Paths:
    """The directories of one daemon. `home` is set when FLOWDAPT_HOME chose them all."""

    config: Path
    data: Path
    runtime: Path
    logs: Path
    home: Path | None = None

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def secrets_file(self) -> Path:
        return self.config / "secrets" / "secrets.json"

    @property
    def socket(self) -> Path:
        return self.runtime / _SOCKET

    @property
    def lock_file(self) -> Path:
        return self.data / "daemon.lock"

    @property
    def log_file(self) -> Path:
        return self.logs / "daemon.log"

    @property
    def user_modules(self) -> Path:
        return self.data / "user_modules"

    @property
    def backups(self) -> Path:
        return self.data / "backups"


_CHOOSE = "set FLOWDAPT_HOME to a directory that you may write"


def find_paths(environ: Mapping[str, str] | None = None) -> Paths:
    """Return where this user's flowdapt lives: below FLOWDAPT_HOME, else where the platform says.

    Raise StartRefused when there is no home, or no place whose socket path a socket can hold.
    """
    environ = os.environ if environ is None else environ
    chosen = environ.get("FLOWDAPT_HOME")
    if chosen:
        home = Path(chosen).expanduser().absolute()
        runtime = _short_enough(home, chain([home / "run"], _runtime_candidates(home, environ)))
        return Paths(home, home, runtime, home / "logs", home)
    import platformdirs

    try:
        data = platformdirs.user_data_path("flowdapt", appauthor=False)
        config = platformdirs.user_config_path("flowdapt", appauthor=False)
        logs = platformdirs.user_log_path("flowdapt", appauthor=False)
    except RuntimeError:
        raise StartRefused(
            "this user has no home directory", code="start.no_home", fix=_CHOOSE
        ) from None
    own = [base / "flowdapt" for base in _runtime_bases(environ)]
    candidates = [*own, data / "run", *_runtime_candidates(data, environ)]
    return Paths(config, data, _short_enough(data, candidates), logs)


def _runtime_bases(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the private directories of a login session; never the shared temporary directory."""
    given = environ.get("XDG_RUNTIME_DIR")
    session = Path(given) if given else Path(f"/run/user/{os.getuid()}")
    if session.is_absolute() and session.is_dir() and os.access(session, os.W_OK):
        yield session


def _runtime_candidates(data: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield short stand-ins for a runtime directory below `data` whose own path is too long."""
    import platformdirs

    mark = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    for base in _runtime_bases(environ):
        yield base / f"flowdapt-{mark}"
    yield platformdirs.user_cache_path("flowdapt", appauthor=False) / f"run-{mark}"


def _short_enough(data: Path, candidates: Iterable[Path]) -> Path:
    for directory in candidates:
        if len(os.fsencode(directory / _SOCKET)) <= SOCKET_PATH_MAX_BYTES:
            return directory
    raise StartRefused(
        f"the path of the socket for {data} would be longer than {SOCKET_PATH_MAX_BYTES} bytes",
        code="start.socket_path_too_long",
        fix="choose a shorter FLOWDAPT_HOME",
    )


def ensure_private_directory(path: Path, *, strict: bool = False) -> Path:
    """Make the directory (0700) or check that it is ours alone to write; return it.

    With `strict` others may not even look in, as for the directory of the socket.
    Raise UnsafeDirectory or StoreUnwritable, saying what to do.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except FileExistsError:
        raise UnsafeDirectory(f"{path} is not a directory", fix=f"move {path} away") from None
    except OSError as error:
        raise StoreUnwritable(f"{path} cannot be made: {error.strerror}", fix=_CHOOSE) from None
    _refuse_unsafe(path, found, loose=0o077 if strict else 0o022)
    if not os.access(path, os.W_OK | os.X_OK) or _on_read_only_mount(path):
        raise StoreUnwritable(
            f"{path} cannot be written",
            fix=f"chmod u+rwx {path}, or mount it writable, or choose another FLOWDAPT_HOME",
        )
    return path


def _refuse_unsafe(path: Path, found: os.stat_result, *, loose: int) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeDirectory(
            f"{path} is a symbolic link", fix=f"name its target instead of {path}"
        )
    if found.st_uid != os.geteuid():
        raise UnsafeDirectory(
            f"{path} belongs to user {found.st_uid}, not to user {os.geteuid()}",
            fix="run as its owner, or choose another FLOWDAPT_HOME",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & loose:
        raise UnsafeDirectory(
            f"{path} is open to other users (mode {mode:04o})", fix=f"chmod 700 {path}"
        )


def _on_read_only_mount(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
