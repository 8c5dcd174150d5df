"""Commands that start and stop the daemon: up, down. `up --foreground` is the one that is it."""

from __future__ import annotations

import os
import signal
import time
from typing import Annotated, Any

from flowdapt.cli.complaint import complain
from flowdapt.cli.grammar import Commands, Opt
from flowdapt.cli.reading import duration_s
from flowdapt.cli.session import Session
from flowdapt.cli.starting import StartFailed, answers, ensure_daemon, process_exists
from flowdapt.cli.usage import UsageProblem
from flowdapt.client.endpoints import system
from flowdapt.domain.errors import FlowdaptError, TimedOut, Unreachable
from flowdapt.domain.wording import amount, duration

commands = Commands()
_SERVICES = ("api", "compute", "triggers")


@commands.add("up")
def up(
    session: Session,
    *,
    foreground: Annotated[bool, Opt("--foreground", "be the daemon, and stay")] = False,
    services: Annotated[
        str | None, Opt("--services", "only these: api,compute,triggers", "LIST")
    ] = None,
    timeout: Annotated[
        float, Opt("--timeout", "how long to wait until it is ready", "TIME", parse=duration_s)
    ] = 60.0,
) -> int:
    """Start the daemon when none runs; return when it is ready."""
    chosen = _services(services)
    if foreground:
        from flowdapt.daemon import main

        return main({"services": chosen} if chosen else None)
    began = time.monotonic()
    arguments = ("--services", services) if services else ()
    try:
        started = ensure_daemon(session.paths, arguments=arguments, timeout_s=timeout)
    except StartFailed as error:
        complain(session.screen, error)
        return error.exit_code
    session.may_start = False
    found = session.ask(system.status())
    word = f"started in {time.monotonic() - began:.1f} s" if started else "was running"

    def show() -> None:
        session.screen.told(
            ("✔ ", "good"), (word, None), (f"  pid {found['pid']}  {found['socket']}", "dim")
        )

    session.output.one(found, show, name=str(found["pid"]))
    return 0


def _services(services: str | None) -> dict[str, bool]:
    if services is None:
        return {}
    named = [name.strip() for name in services.split(",")]
    unknown = [name for name in named if name not in _SERVICES]
    if unknown:
        raise UsageProblem(
            f"there is no service {unknown[0]!r}", fix=f"services are {', '.join(_SERVICES)}"
        )
    return {name: name in named for name in _SERVICES}


@commands.add("down")
def down(
    session: Session,
    *,
    now: Annotated[bool, Opt("--now", "do not let running stages end")] = False,
    timeout: Annotated[
        float, Opt("--timeout", "how long to wait for its end", "TIME", parse=duration_s)
    ] = 90.0,
) -> int:
    """Stop the daemon: running stages may end first; the rest goes on at the next start."""
    session.may_start = False
    began = time.monotonic()
    try:
        found = _about(session)
        _ask_to_end(session, found, now=now)
    except Unreachable:
        _tell_stopped(session, False, "no daemon was running")
        return 0
    running = found.get("runs", {}).get("running", 0)
    if running and not now:
        session.screen.note(
            f"draining: {amount(running, 'run')} going on; what does not end goes on later"
        )
    _wait_until_gone(session, found.get("pid"), deadline=began + timeout)
    _tell_stopped(session, True, f"✔ stopped in {duration(time.monotonic() - began)}")
    return 0


def _tell_stopped(session: Session, stopped: bool, words: str) -> None:
    session.output.one(
        {"stopped": stopped}, lambda: session.screen.note(words, "good" if stopped else "dim")
    )


def _about(session: Session) -> dict[str, Any]:
    """Return the status; of a daemon that cannot tell, what its lock file says."""
    from flowdapt.services.instance import read_holder

    try:
        found: dict[str, Any] = session.ask(system.status())
    except Unreachable:
        raise
    except FlowdaptError:
        if not session.local:
            raise
        found = read_holder(session.paths.lock_file)
    return found


def _ask_to_end(session: Session, found: dict[str, Any], *, now: bool) -> None:
    """Ask over the socket; a daemon that cannot answer gets the signal that asks the same."""
    try:
        session.ask(system.drain(now=now))
    except Unreachable:
        raise
    except FlowdaptError:
        if not session.local or "pid" not in found:
            raise
        os.kill(found["pid"], signal.SIGTERM)


def _wait_until_gone(session: Session, pid: int | None, *, deadline: float) -> None:
    while _alive(session, pid):
        if time.monotonic() > deadline:
            raise TimedOut(f"the daemon (pid {pid}) still drains", fix="flowdapt down --now")
        time.sleep(0.02)


def _alive(session: Session, pid: int | None) -> bool:
    if not session.local:
        try:
            session.ask(system.status())
        except FlowdaptError:
            return False
        return True
    return answers(session.paths) or (pid is not None and process_exists(pid))
