"""What pytest finds by itself where flowdapt is installed: the fixture `stage_bench`. Imports nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.testing.stages import StageBench

__all__ = ["stage_bench"]


@pytest.fixture
def stage_bench() -> Iterator[StageBench]:
    """Give a test a `flowdapt.testing.StageBench`; what its stages stored goes with the test."""
    from flowdapt.testing.stages import StageBench

    with StageBench() as bench:
        yield bench
