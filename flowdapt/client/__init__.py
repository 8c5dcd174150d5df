"""Reach a daemon from Python: `Client` (blocking) and `AsyncClient` (asyncio or trio)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowdapt.client.async_client import AsyncClient
    from flowdapt.client.client import Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> object:
    # The command line imports this package on every call, and httpx is slow to import.
    if name == "Client":
        from flowdapt.client.client import Client

        return Client
    if name == "AsyncClient":
        from flowdapt.client.async_client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
