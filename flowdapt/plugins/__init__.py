"""Hooks, and what comes built in through the same hooks as a stranger's plugin."""

from __future__ import annotations

from flowdapt.plugins.hookspecs import hookimpl

__all__ = ["hookimpl"]
