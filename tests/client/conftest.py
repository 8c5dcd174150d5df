from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flowdapt.paths import find_paths
from tests.client.fake_daemon import FakeDaemon, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake(flowdapt_home: Path) -> Iterator[FakeDaemon]:
    with listening(find_paths().socket) as daemon:
        yield daemon
