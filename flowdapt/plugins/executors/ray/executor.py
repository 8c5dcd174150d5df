"""Name the engine of Ray for the daemon; nothing of Ray is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from flowdapt.plugins.bridge.executor import BridgedExecutor
from flowdapt.plugins.executors.ray.options import RayOptions

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["RayExecutor"]


class RayExecutor(BridgedExecutor):
    """Runs tasks on a Ray cluster; results stay in its object store between stages."""

    kind: ClassVar[str] = "ray"
    options: ClassVar[type[BaseModel] | None] = RayOptions
    engine: ClassVar[str] = "flowdapt.plugins.executors.ray.entry:make_engine"
