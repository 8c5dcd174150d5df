"""Decide what may be set for the local executor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["LocalOptions"]


def _cpu_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How much of this machine tasks may have.

    slots           tasks at once; each has a process of its own.
    cpus, gpus, memory_bytes, custom  what stages may ask for in `resources`; 0 memory: not limited.
    gpu_devices     names for CUDA_VISIBLE_DEVICES; by default 0 … gpus-1.
    idle_timeout_s  a worker without work ends after this time and is started again on demand.
    warm            workers started at once, before the first task.
    hidden_variables  beginnings of environment variables that workers do not inherit.
    """

    slots: int = field(default_factory=_cpu_count)
    cpus: float = field(default_factory=_cpu_count)
    gpus: float = 0.0
    memory_bytes: int = 0
    custom: Mapping[str, float] = field(default_factory=dict)
    gpu_devices: tuple[str, ...] = ()
    idle_timeout_s: float = 30.0
    warm: int = 0
    hidden_variables: tuple[str, ...] = ("FLOWDAPT_SECRET_", "FLOWDAPT_DATABASE", "FLOWDAPT_BROKER")

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"slots must be at least 1, not {self.slots}")
        if not 0 <= self.warm <= self.slots:
            raise ValueError(f"warm must be between 0 and slots, not {self.warm}")
