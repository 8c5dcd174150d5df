"""What every test stands on: a home of its own, no keyring, a PostgreSQL on demand."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

import flowdapt.testing

# Contracts are tests that live in the package: their failures show values too. What pytest's own
# plugin of flowdapt has imported by now holds none.
pytest.register_assert_rewrite(
    *(
        f"flowdapt.testing.{module.stem}"
        for module in Path(flowdapt.testing.__path__[0]).glob("*.py")
        if f"flowdapt.testing.{module.stem}" not in sys.modules
    )
)

from tests.postgres import PostgresCluster, running_cluster  # noqa: E402 - after the above

if TYPE_CHECKING:
    from collections.abc import Iterator

# A shared machine pauses at will: a deadline per example would report that, not a bug.
hypothesis.settings.register_profile("house", deadline=None, print_blob=True)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Let Ctrl-C reach what tests start: shells start background jobs with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_ones_home() -> Iterator[None]:
    """Keep every test away from the real home, keyring and settings of who runs it."""
    nowhere = Path(tempfile.mkdtemp(prefix="flowdapt-tests-"))
    (nowhere / "run").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FLOWDAPT_")]:
            patch.delenv(name)
        patch.setenv("FLOWDAPT_HOME", str(nowhere / "home"))
        patch.setenv("XDG_RUNTIME_DIR", str(nowhere / "run"))
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
        yield
    shutil.rmtree(nowhere, ignore_errors=True)


@pytest.fixture
def flowdapt_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a FLOWDAPT_HOME; short, since a socket's path holds 107 bytes."""
    home = Path(tempfile.mkdtemp(prefix="fd-"))
    monkeypatch.setenv("FLOWDAPT_HOME", str(home))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """Share one real PostgreSQL server over the whole session."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> str:
    """Give the test the URL of an empty database on a real PostgreSQL."""
    return postgres_cluster.new_database()
