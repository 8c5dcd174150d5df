"""What flowdapt imports to see what this distribution brings: strings, so that it costs nothing."""

from __future__ import annotations

from flowdapt.plugins import hookimpl

__all__ = ["flowdapt_executors"]


@hookimpl
def flowdapt_executors() -> dict[str, str]:
    return {"command": "flowdapt_command.executor:CommandExecutor"}
