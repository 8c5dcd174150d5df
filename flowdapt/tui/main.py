"""Put the app together for one terminal and run it."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.options import read_options

if TYPE_CHECKING:
    from flowdapt.client.transports import AsyncTransport
    from flowdapt.tui.feed import Starter

__all__ = ["new_app", "run"]


def new_app(
    server: str,
    *,
    config: Path,
    view: str = "pulse",
    read_only: bool = False,
    colours: bool = True,
    start: Starter | None = None,
    autostart: bool = True,
) -> FlowdaptApp:
    """Return the app on a daemon: a URL or the path of its socket."""
    options = read_options(config)
    if read_only:
        options = replace(options, read_only=True)
    if not colours:
        options = replace(options, theme="mono")

    def transport() -> AsyncTransport:
        from flowdapt.client.transports import AsyncHttpxTransport

        return AsyncHttpxTransport(server.removeprefix("unix://"))

    return FlowdaptApp(
        transport, options=options, start=start, autostart=autostart, first=view, ready=_keep_memory
    )


def _keep_memory() -> None:
    """Let the collector pass over what start-up made, which stays: a look at all of it is a pause."""
    gc.collect()
    gc.freeze()
    gc.enable()


def run(app: FlowdaptApp) -> int:
    """Run the workstation in this terminal until it is left; return the exit code."""
    gc.disable()
    app.run()
    return app.return_code or 0
