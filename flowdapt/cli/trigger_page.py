"""Decide how trigger rules, their decisions and their tests are told to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from flowdapt.cli.screen import Screen
from flowdapt.cli.session import Session
from flowdapt.cli.tables import Column, Row, draw, fields
from flowdapt.cli.views import text
from flowdapt.client.endpoints import runs as run_calls
from flowdapt.client.endpoints import triggers as calls
from flowdapt.domain.wording import age, amount, coarse, moment, parsed, short

__all__ = [
    "FIRE_COLUMNS",
    "TRIGGER_COLUMNS",
    "fire_word",
    "instant_columns",
    "instants",
    "outlook_lines",
    "show_test",
    "show_trigger",
    "trigger_word",
    "with_names",
]

Found = Mapping[str, Any]
_RULE_GLYPHS = {"armed": "▶", "paused": "■", "disabled": "\N{MINUS SIGN}", "broken": "✖"}
_RULE_STYLES = {"armed": "good", "paused": "warn", "disabled": "dim", "broken": "bad"}
_FIRE_GLYPHS = {
    "started": "✔", "waiting": "◌", "skipped": "\N{MINUS SIGN}", "missed": "▲", "failed": "✖",
}  # fmt: skip
_FIRE_STYLES = {
    "started": "good", "waiting": "dim", "skipped": "dim", "missed": "warn", "failed": "bad",
}  # fmt: skip
_SHOWN = 5
_RUNS = 500
_REASON = 200


def trigger_word(row: Row) -> str:
    return f"{_RULE_GLYPHS.get(row['state'], '?')} {row['state']}"


def fire_word(row: Row) -> str:
    return f"{_FIRE_GLYPHS.get(row['state'], '?')} {row['state']}"


def until(value: str | None, *, now: datetime | None = None) -> str:
    """Return how long it is until an instant, to its leading unit."""
    found = parsed(value)
    if found is None:
        return ""
    return coarse((found - (now or datetime.now(UTC))).total_seconds())


def _last(row: Row) -> str:
    last = row.get("last")
    return f"{fire_word(last)} {age(last.get('fired_at'))}" if last else ""


def _note(row: Row) -> str:
    return row.get("broken") or row.get("paused_reason") or ""


TRIGGER_COLUMNS = (
    Column("state", trigger_word, keep=True, style=lambda row: _RULE_STYLES.get(row["state"])),
    Column("name", text("name"), keep=True),
    Column("next in", lambda row: until(row.get("next_at")), right=True),
    Column("last", _last),
    Column("when", text("words"), flex=True),
    Column("reason", _note, flex=True, keep=True),
    Column("does", lambda row: ", ".join(row.get("actions") or ()), wide=True),
    Column("a day", lambda row: f"{row['per_day']:g}" if row.get("per_day") else "", wide=True),
    Column("overlap", text("overlap"), wide=True),
    Column("next at", lambda row: moment(row.get("next_at")), wide=True),
)


def _cause(row: Row) -> str:
    """Return what a fire was for: an instant, an event, or somebody's wish."""
    if row.get("slots", 1) > 1:
        return f"{amount(row['slots'], 'instant')} to {moment(row.get('until'))}"
    if row.get("scheduled_at"):
        return moment(row["scheduled_at"])
    event = f"event {row['event_cursor']}" if row.get("event_cursor") else ""
    by_hand = "by hand" if row.get("kind") == "manual" else ""
    return ", ".join(part for part in (by_hand, event) if part)


def _why(row: Row) -> str:
    return row.get("error") or row.get("reason") or ""


FIRE_COLUMNS = (
    Column("state", fire_word, keep=True, style=lambda row: _FIRE_STYLES.get(row["state"])),
    Column("age", lambda row: age(row.get("fired_at")), right=True, keep=True),
    Column("for", _cause, keep=True),
    Column("reason", _why, flex=True),
    Column("runs", lambda row: " ".join(row.get("names") or row.get("runs") or ()), flex=True),
    Column("number", text("number"), wide=True, right=True),
    Column("kind", text("kind"), wide=True),
    Column("fired at", lambda row: moment(row.get("fired_at")), wide=True),
)


# -- instants ------------------------------------------------------------------------------------------


def zone_named(name: str) -> tzinfo:
    """Return a time zone; UTC where this machine does not know it."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError):
        return UTC


def wall(value: str, zone: tzinfo | None) -> str:
    """Return an instant as a clock of the zone shows it, None for the clock of this machine."""
    shown = (parsed(value) or datetime.now(UTC)).astimezone(zone)
    return f"{shown:%a %Y-%m-%d %H:%M:%S %Z}"


def instants(outlook: Found) -> list[dict[str, str]]:
    """Return the next instants of a rule, each as its zone and as this machine says it."""
    zone = zone_named(outlook["timezone"])
    return [
        {"at": wall(one, zone), "here": wall(one, None), "utc": one, "in": until(one)}
        for one in outlook["next"]
    ]


def instant_columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns of instants; what is the same in both clocks is told once."""
    same = all(row["at"] == row["here"] for row in rows)
    here = () if same else (Column("here", text("here")),)
    return (
        Column("at", text("at"), keep=True),
        *here,
        Column("in", text("in"), right=True),
        Column("utc", lambda row: moment(row["utc"]), wide=True),
    )


def often(outlook: Found) -> str:
    per_day = outlook["per_day"]
    if per_day >= 1:
        return f"{per_day:,.6g} times a day" if per_day != 1 else "once a day"
    return f"{per_day * 365.25:,.3g} times a year" if per_day else "never"


def outlook_lines(outlook: Found) -> list[str]:
    """Return a rule of time in words, how often it fires, and its next instants."""
    rows = instants(outlook)
    lines = [f"{outlook['words']}: {often(outlook)}", "next:"]
    if not rows:
        return [*lines[:1], "next: never again"]
    for row in rows:
        here = "" if row["at"] == row["here"] else f"  here {row['here']}"
        lines.append(f"  {row['at']}{here}")
    return lines


# -- one rule ------------------------------------------------------------------------------------------


def show_trigger(session: Session, resource: Found) -> None:
    """Write what a rule is at present, below its document's head."""
    name, screen = resource["metadata"]["name"], session.screen
    found = session.ask(calls.status(name))
    screen.styled(
        (f"  {trigger_word(found)}", _RULE_STYLES.get(found["state"])),
        (f"  {found['broken'] or found['words']}", None),
    )
    pairs = [
        ("about", found.get("description") or ""),
        ("does", ", ".join(found.get("actions") or ())),
        ("overlap", found.get("overlap") or ""),
        ("catch up", found.get("catch_up") or ""),
        ("paused", _paused(found)),
        ("failures", str(found["failures"] or "")),
    ]
    fields(screen, pairs, indent="  ")
    if found.get("per_day") is not None:
        _show_next(session, name)
    _show_fires(session, name)


def _paused(found: Found) -> str:
    if not found.get("paused_at"):
        return ""
    return f"{moment(found['paused_at'])}  {found.get('paused_reason') or ''}"


def _show_next(session: Session, name: str) -> None:
    rows = instants(session.ask(calls.next_(name, count=_SHOWN)))
    session.screen.data()
    draw(session.screen, instant_columns(rows), rows, wide=False, nothing="it never fires again")


def _show_fires(session: Session, name: str) -> None:
    page = session.ask(calls.fires(name, limit=_SHOWN))
    if page["items"]:
        session.screen.data()
        draw(session.screen, FIRE_COLUMNS, with_names(session, page["items"], name), wide=False)


def with_names(session: Session, fires: Sequence[Found], rule: str) -> list[dict[str, Any]]:
    """Return fires with the names of their runs, as far as these are among the rule's newest."""
    runs = session.ask(run_calls.list_(trigger=rule, limit=_RUNS))["items"]
    names = {run["uid"]: run["name"] for run in runs}
    return [
        {**fire, "names": [names.get(uid, uid) for uid in fire.get("runs") or ()]} for fire in fires
    ]


# -- tests ---------------------------------------------------------------------------------------------


def show_test(screen: Screen, found: Found) -> None:
    """Write whether a rule would fire, and everything that says why or why not."""
    fires = found["fires"]
    sign, words, style = ("✔", "would fire", "good") if fires else ("✖", "would not fire", "bad")
    screen.styled((f"{sign} ", style), (found["rule"], "bold"), (f" {words}{_about(found)}", None))
    if found.get("clause"):
        _show_clause(screen, found["clause"], "  ")
    for obstacle in found["obstacles"]:
        screen.styled(("  ▲ ", "warn"), (obstacle, None))
    for action in found["actions"]:
        given = "" if action.get("parameters") is None else short(action["parameters"], _REASON)
        screen.styled(("  would do: ", "dim"), (f"{action['target']}  {given}".rstrip(), None))


def _about(found: Found) -> str:
    event = found.get("event")
    if event is not None:
        return f" for {event.get('type') or 'the event'}" + (
            f" of {event['time']}" if event.get("time") else ""
        )
    missed = f"; {amount(found['missed'], 'instant')} missed" if found["missed"] else ""
    due = ", ".join(moment(one) for one in found["due"])
    if due:
        return f" now, for {due}{missed}"
    following = f" before {moment(found['next_at'])}" if found.get("next_at") else " any more"
    return f" now, and not{following}{missed}"


def _show_clause(screen: Screen, clause: Found, indent: str) -> None:
    sign, style = ("✔", "good") if clause["held"] else ("✖", "bad")
    reason = f"   {short(clause['reason'], _REASON)}" if clause.get("reason") else ""
    screen.styled((f"{indent}{sign} ", style), (clause["text"], None), (reason, "dim"))
    for child in clause.get("children") or ():
        _show_clause(screen, child, indent + "  ")
