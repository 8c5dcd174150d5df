"""Name the engine of Dask for the daemon; nothing of Dask is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from flowdapt.plugins.bridge.executor import BridgedExecutor
from flowdapt.plugins.executors.dask.options import DaskOptions

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["DaskExecutor"]


class DaskExecutor(BridgedExecutor):
    """Runs tasks on a Dask cluster; results stay there between stages."""

    kind: ClassVar[str] = "dask"
    options: ClassVar[type[BaseModel] | None] = DaskOptions
    engine: ClassVar[str] = "flowdapt.plugins.executors.dask.engine:DaskEngine"
