"""The command that switches from one executor to another: `flowdapt use NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from flowdapt.cli.executor import exit_code
from flowdapt.cli.findings import failed_of, show_findings, unreachable
from flowdapt.cli.grammar import Arg, Commands, Opt
from flowdapt.cli.session import Session
from flowdapt.client.endpoints import executors as calls
from flowdapt.domain.wording import amount

commands = Commands()

Found = Mapping[str, Any]


@commands.add(
    "use",
    epilog="Runs that are open stay on the executor that they began on.\n"
    "Exit code: 0 switched, 1 a check failed and nothing changed, 7 it cannot be opened.",
)
def use(
    session: Session,
    name: Annotated[
        str,
        Arg(
            "a name; local; dask or ray (a cluster on this machine); dask://HOST:PORT; "
            "ray://HOST:PORT; - for the one before",
            "NAME|URL|-",
            "usable",
        ),
    ],
    *,
    insecure: Annotated[
        bool, Opt("--insecure", "allow another machine without TLS and authentication")
    ] = False,
    keep_going: Annotated[
        bool, Opt("--keep-going", "switch although a check failed; what failed is told")
    ] = False,
) -> int:
    """Check an executor, and run everything that is started from now on there.

    The same workflows run on the laptop and on a cluster. A failed check changes nothing.
    """
    if session.output.for_people and session.screen.live:
        session.screen.note(f"looking at {'the one before' if name == '-' else name} …", "dim")
    found = session.ask(calls.switch(name, insecure=insecure, keep_going=keep_going))
    session.output.one(found, lambda: _show(session, found), name=found["active"])
    if found["switched"]:
        return 0
    session.screen.flush()
    _not_switched(session, name, found)
    return exit_code(found["findings"])


def _show(session: Session, found: Found) -> None:
    screen = session.screen
    show_findings(screen, found["findings"], all_of_them=not found["switched"])
    if not found["switched"]:
        return
    parts = [
        (f"now: {found['active']}.", "bold"),
        *((f"  {text}", None) for text in _pinned(found)),
    ]
    if found.get("previous"):
        parts.append(("  Undo: flowdapt use -", "dim"))
    screen.styled(("✔ ", "good"), *parts)


def _pinned(found: Found) -> list[str]:
    told = [
        f"{amount(count, 'run stays', 'runs stay')} on {name}"
        for name, count in sorted(found.get("pinned", {}).items())
        if name != found["active"] and count
    ]
    return [f"{', '.join(told)}."] if told else []


def _not_switched(session: Session, name: str, found: Found) -> None:
    """Say where runs go on being started, and how to go on. Programs find it in the document."""
    fixes = [row["fix"] for row in failed_of(found["findings"]) if row.get("fix")]
    way_out = f"   fix: {fixes[0]}" if len(fixes) == 1 else ""
    anyway = "" if unreachable(found["findings"]) else f"   or: flowdapt use {name} --keep-going"
    session.screen.complain(
        ("✖ ", "bad"),
        (f"not switched (still: {found['active']}).", "bold"),
        (f"{way_out}{anyway}", None),
    )
