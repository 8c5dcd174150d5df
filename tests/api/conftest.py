from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_trio

from tests.api.backends import Api, running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_trio.trio_fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as running:
        yield running


@pytest_trio.trio_fixture
async def served() -> AsyncIterator[Api]:
    async with running_api(listen=True) as running:
        yield running
