"""Commands about secrets: `flowdapt secret …`. Values go in and never come out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.lists import SECRETS
from flowdapt.cli.reading import read_bytes
from flowdapt.cli.session import Session
from flowdapt.cli.usage import UsageProblem
from flowdapt.client.endpoints import system

commands = Commands()
SecretName = Annotated[str, Arg("name of the secret, as stages declare it", "NAME", "secret")]


@commands.add(
    "set", epilog="There is no option for the value: command lines are seen by other processes."
)
def set_(
    session: Session,
    name: SecretName,
    *,
    file: Annotated[
        Path | None, Opt("--from-file", "read the value from a file; - is stdin", "FILE", "file")
    ] = None,
) -> None:
    """Keep a value; it is asked for, or read from stdin or a file."""
    value = _value(name, file)
    if not value:
        raise UsageProblem("the value is empty", fix=f"flowdapt secret rm {name} forgets a secret")
    found = session.ask(system.put_secret(name, value)) or {}
    place = found.get("place")
    if place == "file":
        session.screen.note(
            "there is no keyring here: kept in a file that only you can read", "dim"
        )
    session.output.acted("kept", "secret", name)


def _value(name: str, file: Path | None) -> str:
    """Return the value without the newline that editors and echo put at the end."""
    if file is not None or not sys.stdin.isatty():
        return read_bytes(file or Path("-")).decode().removesuffix("\n").removesuffix("\r")
    import getpass

    return getpass.getpass(f"{name}: ", stream=sys.stderr)


@commands.add("ls")
def ls(session: Session) -> None:
    """List the names of secrets."""
    session.output.many(session.ask(SECRETS.call()), SECRETS.columns)


@commands.add("rm")
def rm(session: Session, name: SecretName) -> None:
    """Forget a secret."""
    session.ask(system.delete_secret(name))
    session.output.acted("forgot", "secret", name)
