"""Commands about plugins: `flowdapt plugin …`."""

from __future__ import annotations

from flowdapt.cli.grammar import Commands
from flowdapt.cli.lists import PLUGINS
from flowdapt.cli.session import Session
from flowdapt.domain.wording import amount

commands = Commands()


@commands.add("ls")
def ls(session: Session) -> None:
    """List the plugins that were found, also those that could not be loaded."""
    session.output.many(session.ask(PLUGINS.call()), PLUGINS.columns)


@commands.add("check")
def check(session: Session) -> int:
    """Say which plugins could not be loaded, and why; 1 when there are any."""
    found = session.ask(PLUGINS.call())["items"]
    broken = [one for one in found if one.get("error")]
    if not session.output.for_people:
        session.output.many({"items": broken, "next": None}, PLUGINS.columns)
        return int(bool(broken))
    for one in broken:
        session.screen.styled(("✖ ", "bad"), (one["name"], "bold"), (f"  {one['error']}", None))
    if not broken:
        session.screen.note(f"✔ {amount(len(found), 'plugin')} loaded", "good")
    return int(bool(broken))
