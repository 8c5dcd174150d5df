"""Decide which executors are always there, what the way back is called, and what addresses mean.

Free of models, since a daemon asks before it loads them.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BACK", "BUILT_IN_PROFILES", "LOCAL", "kind_of_scheme"]

# From the settings; it cannot be removed.
LOCAL = "local"
# What is asked for by this name is the executor before: no executor is called so.
BACK = "-"
# `use dask` and `use ray` work without `add`: a cluster started on this machine, all options at default.
BUILT_IN_PROFILES: Mapping[str, str] = {LOCAL: "local", "dask": "dask", "ray": "ray"}
# Which kind a scheme means that is not the name of one.
_SCHEMES = {"tcp": "dask", "tls": "dask"}


def kind_of_scheme(scheme: str) -> str:
    """Return the kind of executor that stands at addresses of this scheme, if there is one."""
    return _SCHEMES.get(scheme.lower(), scheme.lower())
