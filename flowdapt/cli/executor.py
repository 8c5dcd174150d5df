"""Commands about executors: `flowdapt executor …`."""

from __future__ import annotations

from typing import Annotated

from flowdapt.cli.grammar import Arg, Commands
from flowdapt.cli.lists import EXECUTORS, WORKER_COLUMNS
from flowdapt.cli.session import Session
from flowdapt.client.endpoints import system

commands = Commands()


@commands.add("ls")
def ls(session: Session) -> None:
    """List the executor profiles and how busy they are."""
    session.output.many(session.ask(EXECUTORS.call()), EXECUTORS.columns)


@commands.add("workers")
def workers(
    session: Session,
    name: Annotated[str, Arg("name of the executor", "NAME", "executor")] = "local",
) -> None:
    """List the workers of an executor as they are now."""
    session.output.many(session.ask(system.workers(name)), WORKER_COLUMNS)
