"""Decide which executors are always there; free of models, since a daemon asks before it loads them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BUILT_IN_PROFILES", "LOCAL"]

# From the settings; it cannot be removed.
LOCAL = "local"
# `use dask` and `use ray` work without `add`: a cluster started on this machine, all options at default.
BUILT_IN_PROFILES: Mapping[str, str] = {LOCAL: "local", "dask": "dask", "ray": "ray"}
