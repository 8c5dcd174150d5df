"""The command that shows the daemon and its open runs, again and again: `flowdapt top`."""

from __future__ import annotations

import time
from typing import Annotated

from flowdapt.cli.grammar import Commands, Opt
from flowdapt.cli.reading import duration_s
from flowdapt.cli.session import Session
from flowdapt.cli.status import show_status
from flowdapt.cli.tables import draw
from flowdapt.cli.views import RUN_COLUMNS
from flowdapt.client.endpoints import runs, system

commands = Commands()
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"
_OPEN = ["queued", "running", "cancelling"]


@commands.add("top")
def top(
    session: Session,
    *,
    every: Annotated[
        float, Opt("--every", "time between two looks", "TIME", parse=duration_s)
    ] = 1.0,
    once: Annotated[bool, Opt("--once", "look once")] = False,
) -> None:
    """Show the daemon and its open runs until Ctrl-C; once where there is no terminal."""
    while True:
        status = session.ask(system.status())
        recent = session.ask(runs.list_(state=_OPEN, limit=20))
        if not session.output.for_people:
            session.output.one({"status": status, "runs": recent["items"]}, lambda: None)
            return
        if session.screen.out.isatty() and not once:
            session.screen.ready(_CLEAR)
        show_status(session, status)
        session.screen.data()
        draw(session.screen, RUN_COLUMNS, recent["items"], wide=False, nothing="no run is open")
        session.screen.flush()
        if once or not session.screen.out.isatty():
            return
        time.sleep(every)
