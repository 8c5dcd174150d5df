"""The command that opens the terminal workstation: `flowdapt ui`, and `flowdapt` alone in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

from flowdapt.cli.grammar import Commands, Opt
from flowdapt.cli.session import Session
from flowdapt.cli.starting import autostart_allowed, ensure_daemon
from flowdapt.cli.usage import UsageProblem, closest

commands = Commands()


@commands.add("ui")
def ui(
    session: Session,
    *,
    view: Annotated[str, Opt("--view", "what to show first", "NAME")] = "pulse",
    read_only: Annotated[bool, Opt("--read-only", "forbid changes")] = False,
    web: Annotated[bool, Opt("--web", "serve it to a browser on this machine")] = False,
    port: Annotated[int, Opt("--port", "with --web: the port; a free one if not given", "N")] = 0,
) -> int:
    """Open the workstation in this terminal, or with --web in a browser on this machine."""
    _check_view(view)
    if web:
        from flowdapt.tui.web.main import serve

        return serve(
            port=port,
            arguments=_repeated(session, view, read_only),
            say=lambda text: _say(session, text),
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageProblem(
            "the workstation needs a terminal", fix="flowdapt top, or flowdapt runs ls -o json"
        )
    from flowdapt.tui.main import new_app, run

    app = new_app(
        session.common.server or str(session.paths.socket),
        config=session.paths.config_file,
        view=view,
        read_only=read_only,
        colours=not session.common.no_color,
        start=_starter(session),
        autostart=autostart_allowed(),
    )
    return run(app)


def _check_view(name: str) -> None:
    from flowdapt.tui.screens.catalogue import VIEWS

    if name not in VIEWS:
        raise UsageProblem(
            f"there is no view {name!r}",
            suggestion=closest(name, VIEWS),
            fix=f"views are {', '.join(VIEWS)}",
        )


def _say(session: Session, text: str) -> None:
    session.screen.ready(text + "\n")
    session.screen.flush()


def _repeated(session: Session, view: str, read_only: bool) -> list[str]:
    """Return the options that hold in every tab as they were given here."""
    server = ["--server", session.common.server] if session.common.server else []
    colours = ["--no-color"] if session.common.no_color else []
    return [*server, *colours, "--view", view, *(["--read-only"] if read_only else [])]


def _starter(session: Session) -> Callable[[], object] | None:
    """Return what starts the local daemon; None where that is not allowed."""
    return (lambda: ensure_daemon(session.paths)) if session.local else None
