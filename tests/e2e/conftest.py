from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.daemons import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """Give the test a daemon that is not started yet."""
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    daemon = Daemon(folder / "h")
    yield daemon
    daemon.kill()
    shutil.rmtree(folder, ignore_errors=True)
