"""Every store keeps the contract: memory, SQLite, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flowdapt.ports.store import Store
from flowdapt.services.clock import SystemClock
from flowdapt.stores.factory import create_store
from flowdapt.testing.store_contract import StoreContract


class _ByUrl(StoreContract):
    """A store as settings name it."""

    url = ""
    directory: Path

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        store = create_store(self.url, data_dir=self.directory, clock=SystemClock())
        await store.open()
        try:
            yield store
        finally:
            await store.close()


class TestMemory(_ByUrl):
    url = "memory://"

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.directory = tmp_path


class TestSqlite(_ByUrl):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.directory = tmp_path


class TestPostgres(_ByUrl):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path, postgres_url: str) -> None:
        self.directory, self.url = tmp_path, postgres_url
