"""The first screen: how each workflow goes, what failed, what is about to fire, how the daemon is.

Without anything to look at it says what to do first; without a daemon, how to get one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.errors import NotFound
from flowdapt.domain.wording import amount, coarse, duration, size
from flowdapt.tui.keys import Key
from flowdapt.tui.model.link import LinkState
from flowdapt.tui.model.news import ALL, RESOURCES, RUNS, TRIGGERS, News
from flowdapt.tui.model.pulse import Pulse as PulseModel
from flowdapt.tui.model.pulse import Rhythm
from flowdapt.tui.model.words import age, state_of
from flowdapt.tui.screens.view import View
from flowdapt.tui.widgets.safe import SafeText, cut, fitted, line
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

if TYPE_CHECKING:
    from flowdapt.domain.trigger_views import TriggerStatus
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Pulse"]

_NEWEST = 500
_MOST = 8
Row = list[tuple[object, str | None]]


def _strip(rhythm: Rhythm, app: FlowdaptApp) -> Cell:
    words = [state_of(run) for run in rhythm.runs]
    return Cell(parts=tuple((app.glyphs.state(word), f"state-{word}") for word in words))


def _last(rhythm: Rhythm, app: FlowdaptApp) -> Cell:
    if rhythm.last is None:
        return Cell("never ran", "dim")
    word = state_of(rhythm.last)
    return Cell(f"{word} {age(rhythm.last.created_at, app.now())}", f"state-{word}")


def _next(rhythm: Rhythm, app: FlowdaptApp) -> Cell:
    if rhythm.next_at is None:
        return Cell("")
    return Cell(f"in {coarse((rhythm.next_at - app.now()).total_seconds())}", "dim")


_COLUMNS: tuple[Column[Rhythm], ...] = (
    Column("workflow", lambda one, _: Cell(one.workflow), least=12, must=True),
    Column("last 30 runs", _strip, least=12, must=True),
    Column("last", _last),
    Column("took", lambda one, _: Cell(duration(one.median_s), "dim"), right=True),
    Column("failed", lambda one, _: Cell(str(one.failed or ""), "bad"), right=True),
    Column("next", _next, right=True),
)


class Pulse(View):
    """The view on key 1."""

    KEYS = (
        "down",
        "up",
        "page_down",
        "page_up",
        "top",
        "bottom",
        "open",
        "copy",
        "refresh",
        "start",
    )
    view, title_words = "pulse", "pulse"

    def __init__(self) -> None:
        super().__init__()
        self.pulse = PulseModel()

    def body(self) -> ComposeResult:
        yield SafeText("", id="first")
        with Horizontal(id="pulse"):
            yield PagedTable[Rhythm](_COLUMNS, lambda one: one.workflow, empty="", id="rhythms")
            with Vertical(id="pulse-side"):
                yield SafeText("", id="side")

    def on_mount(self) -> None:
        self.set_interval(1.0, self._draw)

    def why_not(self, key: Key) -> str | None:
        if key.id in {"open", "copy"} and not self.rhythms.rows:
            return "there is no workflow"
        return super().why_not(key)

    @property
    def keys(self) -> list[Key]:
        """Return the keys; `S` only where there is no daemon."""
        return [key for key in super().keys if key.id != "start" or not self.desk.link.usable]

    @property
    def rhythms(self) -> PagedTable[Rhythm]:
        return self.query_one("#rhythms", PagedTable)

    # --- what is known ---------------------------------------------------------------------------

    async def on_news(self, news: News) -> None:
        if ALL in news.parts:
            self.act_refresh()
        elif news.touches(RUNS, TRIGGERS, RESOURCES):
            if self.pulse.apply(news.events) or news.touches(TRIGGERS, RESOURCES):
                self.soon(self.act_refresh)
            self._draw()
        else:
            self._draw()

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as group:
            runs = group.create_task(self.client.ask(calls.list_(limit=_NEWEST)))
            workflows = group.create_task(self.client.resources.list("workflow", limit=_NEWEST))
            rules = group.create_task(self._rules())
        page = runs.result()
        names = [one.metadata.name for one in workflows.result().items]
        self.pulse.take(page.items, page.next, names, rules.result())
        self._draw()

    async def _rules(self) -> Sequence[TriggerStatus]:
        try:
            return (await self.client.triggers.list(limit=_NEWEST)).items
        except NotFound:
            # An older daemon knows no rules: all else is there.
            return ()

    # --- what is shown ---------------------------------------------------------------------------

    def _draw(self) -> None:
        if not self.query("#rhythms"):
            return  # the app is ending: parts go before the screen
        first = _first_words(self.desk, self.pulse)
        self.set_class(first is not None, "first")
        if first is not None:
            self.query_one("#first", SafeText).show(first)
            return
        self.rhythms.show(self.pulse.rhythms())
        width = max(self.query_one("#side").size.width, 20)
        self.query_one("#side", SafeText).show(_side(self.desk, self.pulse, width))

    def act_refresh(self) -> None:
        self.work(self._read(), only="read")

    def act_open(self) -> None:
        """Show the runs of the workflow under the cursor."""
        rhythm = self.rhythms.current
        if rhythm is not None:
            self.desk.show_runs(f"wf={rhythm.workflow}")

    def act_copy(self) -> None:
        rhythm = self.rhythms.current
        if rhythm is not None:
            self.desk.copy(rhythm.workflow)


def _first_words(app: FlowdaptApp, pulse: PulseModel) -> Text | None:
    """Return what stands here as long as there is nothing to see: no daemon, or nothing in it."""
    state = app.link.state
    if state is LinkState.NONE:
        fix = app.link.fix or "flowdapt up"
        start = [("S", "starts it")] if app.starter else []
        return _lines(
            app, "There is no daemon", app.link.why, [*start, (fix, "in a shell starts it")]
        )
    if not pulse.loaded:
        return Text("")
    if pulse.empty:
        ways = [("flowdapt demo", "a small machine-learning project on real data"),
                ("flowdapt init DIR", "a small project of your own"),
                (":apply FILE", "store the workflows of a file"),
                ("?", "the keys")]  # fmt: skip
        return _lines(app, "Nothing is here yet", "In a shell, or here with : and ?", ways)
    return None


def _lines(app: FlowdaptApp, title: str, words: str, ways: Iterable[tuple[str, str]]) -> Text:
    rows: list[Row] = [
        [(f"  {title}", f"bold {app.colour('head')}")],
        [(f"  {words}", app.colour("dim"))],
        [],
    ]
    rows += [[(f"  {key:<20}", app.colour("key")), (what, None)] for key, what in ways]
    return Text("\n").join([Text(""), *(line(row) for row in rows)])


def _side(app: FlowdaptApp, pulse: PulseModel, width: int) -> Text:
    """Return the column beside the workflows."""
    parts = [
        *_counts(app, pulse),
        *_failures(app, pulse, width),
        *_fires(app, pulse, width),
        *_daemon(app, width),
    ]
    return Text("\n").join(line(row) for row in parts)


def _title(app: FlowdaptApp, words: str) -> Row:
    return [(words.upper(), f"bold {app.colour('head')}")]


def _counts(app: FlowdaptApp, pulse: PulseModel) -> list[Row]:
    """Return the states of the newest runs, two a line."""
    counts = pulse.states()
    cells: Row = [
        (f"{app.glyphs.state(word)} {counts[word]:>4,} {word:<12}", app.state_colour(word))
        for word in app.glyphs.states
        if counts.get(word)
    ]
    total = len(pulse.window)
    words = f"newest {total:,} runs" if pulse.window.next_cursor else amount(total, "run")
    return [_title(app, words), *(cells[at : at + 2] for at in range(0, len(cells), 2)), []]


def _failures(app: FlowdaptApp, pulse: PulseModel, width: int) -> list[Row]:
    found = pulse.failures()[:_MOST]
    if not found:
        return []
    rows: list[Row] = []
    for one in found:
        where = f"{one.workflow}.{one.stage}" if one.stage else one.workflow
        told = f"{one.error} in {where}"
        when = age(one.last.finished_at, app.now())
        rows.append([(f"{app.glyphs.state('failed')} {one.count:>3} ", app.colour("bad")),
                     (cut(told, width - 11, app.glyphs.more), None), (f" {when}", app.colour("dim"))])  # fmt: skip
    return [_title(app, "failures"), *rows, []]


def _fires(app: FlowdaptApp, pulse: PulseModel, width: int) -> list[Row]:
    broken: list[Row] = [[(f"{app.glyphs.warning} ", app.colour("bad")), (cut(f"{rule.name}: {rule.broken}", width - 3), None)]
              for rule in pulse.broken_rules()[:_MOST]]  # fmt: skip
    rows: list[Row] = [
        [
            (f"in {coarse((when - app.now()).total_seconds()):<5}", app.colour("dim")),
            (cut(rule.name, width - 9), None),
        ]
        for when, rule in pulse.fires()[:_MOST]
    ]
    return [_title(app, "fires next"), *broken, *rows, []] if rows or broken else []


def _daemon(app: FlowdaptApp, width: int) -> list[Row]:
    status = app.link.status
    if not status:
        return []
    executor = status.get("executor") or {}
    busy, slots = int(executor.get("busy") or 0), executor.get("slots")
    waiting = int(executor.get("waiting") or 0)
    load = f"{busy}/{slots} busy" if slots else f"{busy} busy"
    meter = app.glyphs.meter(busy / slots, 10) + " " if slots else ""
    free, stored = status.get("free_bytes"), status.get("database_bytes")
    rows: list[Row] = [
        [(fitted(executor.get("name", ""), 7) + " ", app.colour("dim")), (meter, app.colour("busy")),
         (load + (f", {waiting} wait" if waiting else ""), None)],
        [("store   ", app.colour("dim")), (size(stored) if stored is not None else "", None)],
        [("disk    ", app.colour("dim")), (f"{size(free)} free" if free is not None else "", None)],
        [("up      ", app.colour("dim")), (f"{coarse(status.get('uptime_s') or 0)}, version {status.get('version', '')}", None)],
    ]  # fmt: skip
    rows += [
        [(f"{app.glyphs.warning} {cut(one, width - 3)}", app.colour("warn"))]
        for one in status.get("warnings") or ()
    ]
    return [_title(app, "daemon"), *rows]
