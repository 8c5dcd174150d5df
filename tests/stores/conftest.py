"""What tests of the stores share: a store on a file, and the file itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from flowdapt.ports.store import Store
from flowdapt.services.clock import SystemClock
from flowdapt.stores.factory import create_store

Opening = Callable[[], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def opened(directory: Path, url: str = "") -> AsyncIterator[Store]:
    """Open the store of a directory, and close it whatever happens."""
    store = create_store(url, data_dir=directory, clock=SystemClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "flowdapt.db"


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    """Open the store of the test's own directory, as often as the test likes."""
    return lambda: opened(tmp_path)
