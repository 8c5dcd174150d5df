"""Commands that hand the daemon to systemd: `flowdapt service …`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from flowdapt.cli.grammar import Commands, Opt
from flowdapt.cli.session import Session
from flowdapt.domain.errors import Unavailable

commands = Commands()
_UNIT = "flowdapt.service"
# 65, 66, 73, 77, 78: what a restart cannot mend.
_TEMPLATE = """\
[Unit]
Description=flowdapt, durable machine-learning workflows

[Service]
Type=notify
ExecStart={python} -P -m flowdapt up --foreground
{environment}Restart=on-failure
RestartSec=2
RestartPreventExitStatus=65 66 73 77 78
# The daemon drains on SIGTERM and kills its own workers.
KillMode=mixed
TimeoutStopSec=90

[Install]
WantedBy=default.target
"""


@commands.add("install")
def install(
    session: Session,
    *,
    user: Annotated[bool, Opt("--user", "for this user (the only kind there is)")] = True,
    show: Annotated[bool, Opt("--print", "print the unit and install nothing")] = False,
    start: Annotated[bool, Opt("--start --no-start", "start it now")] = True,
) -> None:
    """Install the daemon as a systemd unit of this user, and start it."""
    text = unit_text()
    if show:
        session.screen.ready(text)
        return
    path = _unit_path()
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if start:
        with _put_back_if_refused(path, before):
            _systemctl("daemon-reload")
            _systemctl("enable", "--now", _UNIT)
        session.screen.note("✔ running; it starts with your session", "good")
        session.screen.note("  to keep it after you log out:  loginctl enable-linger", "dim")
    session.output.acted("installed", "unit", str(path))


@contextmanager
def _put_back_if_refused(path: Path, before: bytes | None) -> Iterator[None]:
    try:
        yield
    except Unavailable:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
        raise


@commands.add("remove")
def remove(session: Session) -> None:
    """Stop the unit and remove it; data stay."""
    path = _unit_path()
    if not path.exists():
        session.output.acted("was not there:", "unit", str(path))
        return
    _systemctl("disable", "--now", _UNIT)
    path.unlink()
    _systemctl("daemon-reload")
    session.output.acted("removed", "unit", str(path))


def unit_text() -> str:
    """Return the unit; it remembers the home that this command was given."""
    home = os.environ.get("FLOWDAPT_HOME")
    environment = (
        f'Environment="FLOWDAPT_HOME={Path(home).expanduser().absolute()}"\n' if home else ""
    )
    return _TEMPLATE.format(python=sys.executable, environment=environment)


def _unit_path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "systemd" / "user" / _UNIT


def _systemctl(*words: str) -> None:
    program = shutil.which("systemctl")
    if program is None:
        raise Unavailable(
            "there is no systemctl here",
            code="service.no_systemd",
            fix="flowdapt up  starts the daemon without it",
        )
    done = subprocess.run([program, "--user", *words], capture_output=True, text=True, check=False)  # noqa: S603 - found by its name, words are ours
    if done.returncode:
        raise Unavailable(
            f"systemctl --user {' '.join(words)}: {done.stderr.strip() or done.returncode}",
            code="service.refused",
            fix="flowdapt up  starts the daemon without it",
        )
