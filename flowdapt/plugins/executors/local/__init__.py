"""Runs tasks on this machine, each in a warm process of its own; loads trio only when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowdapt.plugins.executors.local.executor import LocalExecutor
    from flowdapt.plugins.executors.local.options import LocalOptions

__all__ = ["LocalExecutor", "LocalOptions"]


def __getattr__(name: str) -> object:
    if name == "LocalExecutor":
        from flowdapt.plugins.executors.local.executor import LocalExecutor

        return LocalExecutor
    if name == "LocalOptions":
        from flowdapt.plugins.executors.local.options import LocalOptions

        return LocalOptions
    raise AttributeError(name)
