"""Decide what a process tells of itself before it gets work: versions, plugins, machine.

Nothing that is told of is imported for it. What a difference means is `domain/skew.py`.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from typing import TYPE_CHECKING, Any

from flowdapt import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["LIBRARIES", "editable_plugins", "facts"]

# The clusters' own, what values are encoded with, and what results are most often made of.
LIBRARIES = (
    "cloudpickle", "dask", "distributed", "fsspec", "lightgbm", "msgspec", "numpy", "pandas", "polars",
    "pyarrow", "ray", "s3fs", "scikit-learn", "scipy", "torch", "xgboost",
)  # fmt: skip
_PLUGINS = "flowdapt.plugins"


def facts(libraries: Sequence[str] = LIBRARIES, *, gpus: float = 0.0) -> dict[str, Any]:
    """Return what this process is, as JSON has it; what cannot be found out is left out.

    `gpus` is what the cluster says that this worker has: looking for them here would need a driver.
    """
    return {
        "flowdapt": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "implementation": sys.implementation.name,
        "platform": f"{sys.platform}-{platform.machine()}",
        "libraries": _versions(libraries),
        "plugins": _plugins(),
        "cpus": _cpus(),
        "memory_bytes": _memory_bytes(),
        "gpus": gpus,
        "uid": os.getuid() if hasattr(os, "getuid") else None,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def editable_plugins() -> dict[str, list[str]]:
    """Return the top-level modules of plugins that are installed as somebody's folder, by plugin."""
    from importlib.metadata import entry_points

    return {
        point.name: _top_level(point)
        for point in entry_points(group=_PLUGINS)
        if point.dist is not None and _editable(point.dist)
    }


def _top_level(point: EntryPoint) -> list[str]:
    text = point.dist.read_text("top_level.txt") if point.dist else ""
    return sorted({point.module.partition(".")[0], *(text or "").split()})


def _versions(names: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except (PackageNotFoundError, KeyError):  # a folder of metadata without a version
            continue
    return found


def _plugins() -> dict[str, dict[str, Any]]:
    from importlib.metadata import entry_points

    return {point.name: _plugin(point) for point in entry_points(group=_PLUGINS)}


def _plugin(point: EntryPoint) -> dict[str, Any]:
    found = point.dist
    if found is None:
        return {"distribution": "", "version": "", "editable": False}
    return {"distribution": found.name, "version": found.version, "editable": _editable(found)}


def _editable(found: Distribution) -> bool:
    """Say whether the sources are somebody's folder: same version, perhaps not the same code."""
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        return bool(origin.get("dir_info", {}).get("editable"))
    except (OSError, ValueError, AttributeError):
        return False


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0
