"""Decide how a run that goes on is shown: bars in place on a terminal, else a line per change.

Mapped stages are folded into one bar with counts. Where a stage tells its progress itself, that is
the bar; what is left is estimated from the pace so far, or from the last run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from flowdapt.cli.cells import shown_state, state_style, state_word
from flowdapt.cli.screen import Screen
from flowdapt.cli.views import items_text
from flowdapt.domain.display import escape_controls
from flowdapt.domain.wording import amount, coarse, duration, parsed

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

__all__ = ["Progress", "done_share", "left_s"]

Found = Mapping[str, Any]
_OPEN = frozenset({"running", "retrying"})
_DONE = frozenset({"finished", "skipped"})
_RICH = {
    "good": "blue", "bad": "bold red", "busy": "cyan", "warn": "yellow", "dim": "dim", None: "",
}  # fmt: skip
_BAR, _BAR_PLACE, _LEAST_BESIDE_A_BAR = 24, 2, 40


def done_share(stage: Found) -> float | None:
    """Return how much of a stage is done, 0 to 1; None where nobody can say."""
    if stage["state"] in _DONE:
        return 1.0
    items, told = stage.get("items"), stage.get("progress")
    if items and items.get("total"):
        return float((items.get("finished", 0) + items.get("failed", 0)) / items["total"])
    if told and told[1]:
        return float(min(max(told[0] / told[1], 0.0), 1.0))
    return None


def left_s(stage: Found, *, now: float) -> float | None:
    """Estimate the seconds that a running stage still takes from its pace so far."""
    share, began = done_share(stage), parsed(stage.get("started_at"))
    if share is None or began is None or not 0 < share < 1:
        return None
    return (now - began.timestamp()) * (1 - share) / share


class _View(Protocol):
    def start(self) -> None: ...

    def update(self, run: Found) -> None: ...

    def stop(self) -> None: ...


class Progress:
    """Shows the runs it is given; a context manager."""

    def __init__(self, screen: Screen, *, estimate_s: float | None = None) -> None:
        self._view: _View = _Bars(screen, estimate_s) if screen.live else _Lines(screen)

    def __enter__(self) -> Self:
        self._view.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._view.stop()

    def update(self, run: Found) -> None:
        self._view.update(run)


class _Lines:
    """A line per change of a stage, for logs and pipes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._told: dict[str, str] = {}

    def start(self) -> None:
        """Nothing is on the screen yet."""

    def stop(self) -> None:
        """Every line has been written already."""

    def update(self, run: Found) -> None:
        for stage in run.get("stages") or ():
            word = shown_state(stage)
            if self._told.get(stage["name"], "pending") != word:
                self._told[stage["name"]] = word
                self._tell(stage)

    def _tell(self, stage: Found) -> None:
        clock = time.strftime("%H:%M:%S")
        extra = [items_text(stage), duration(stage.get("duration_s"))]
        self._screen.told(
            (f"{clock}  ", "dim"),
            (f"{state_word(stage):<11}", state_style(stage)),
            (f"  {stage['name']}", None),
            ("".join(f"  {part}" for part in extra if part), "dim"),
        )


class _Bars:
    """A bar per stage, drawn in place."""

    def __init__(self, screen: Screen, estimate_s: float | None) -> None:
        self._screen, self._estimate_s = screen, estimate_s
        self._run: Found | None = None
        self._live: Live | None = None

    def start(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        # "standard": the sixteen colours that people have set for their terminal.
        console = Console(
            file=self._screen.err,
            no_color=not self._screen.color_err,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._live = Live(
            get_renderable=lambda: self._drawn(console),
            console=console,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._screen.above = lambda line: console.print(Text.from_ansi(line), soft_wrap=True)

    def update(self, run: Found) -> None:
        self._run = run

    def stop(self) -> None:
        self._screen.above = None
        if self._live is not None:
            self._live.stop()

    def _drawn(self, console: Console) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        if self._run is None:
            return Text("")
        stages = self._run.get("stages") or []
        shown = _those_that_fit(stages, console.height - 4)
        grid = Table.grid(padding=(0, 2))
        rows = [self._row(stage) for stage in shown]
        # A bar is the first to go where there is little room: its count says the same.
        room = console.width >= _BAR + _LEAST_BESIDE_A_BAR
        for row in rows:
            grid.add_row(*(cell for place, cell in enumerate(row) if room or place != _BAR_PLACE))
        for column in grid.columns:
            column.no_wrap = True
        parts: list[RenderableType] = [self._head(self._run, stages), grid]
        if len(shown) < len(stages):
            parts.append(Text(f"  … {amount(len(stages) - len(shown), 'more stage')}", style="dim"))
        return Group(*parts)

    def _head(self, run: Found, stages: list[Found]) -> RenderableType:
        from rich.text import Text

        done = sum(stage["state"] in _DONE for stage in stages)
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{state_word(run)}  ", style=_RICH[state_style(run)])
        text.append(escape_controls(run["name"]), style="bold")
        text.append(f"  {escape_controls(run['workflow'])}  {done}/{amount(len(stages), 'stage')}")
        text.append(self._clock(run), style="dim")
        return text

    def _clock(self, run: Found) -> str:
        if run.get("duration_s") is not None and run.get("finished_at"):
            return f"  {duration(run['duration_s'])}"
        began = parsed(run.get("started_at"))
        if began is None:
            return "  waiting"
        spent = max(time.time() - began.timestamp(), 0)
        left = (self._estimate_s or 0) - spent
        return f"  {coarse(spent)}" + (f"  ≈ {coarse(left)} left" if left > 1 else "")

    def _row(self, stage: Found) -> tuple[RenderableType, ...]:
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        share = done_share(stage)
        pulsing = share is None and stage["state"] in _OPEN
        bar = ProgressBar(
            total=1.0,
            completed=share or 0.0,
            width=_BAR,
            pulse=pulsing,
            complete_style="blue" if stage["state"] != "failed" else "red",
            finished_style="blue",
        )
        return (
            Text(state_word(stage), style=_RICH[state_style(stage)]),
            Text(escape_controls(stage["name"])),
            bar,
            Text(items_text(stage), style="dim"),
            Text(_time_text(stage), style="dim"),
        )


def _time_text(stage: Found) -> str:
    if stage.get("finished_at"):
        return duration(stage.get("duration_s"))
    began = parsed(stage.get("started_at"))
    if began is None or stage["state"] not in _OPEN:
        return ""
    left = left_s(stage, now=time.time())
    spent = coarse(time.time() - began.timestamp())
    return spent if left is None else f"{spent}  ≈ {coarse(left)} left"


def _those_that_fit(stages: list[Found], room: int) -> list[Found]:
    """Prefer what runs, then what failed, then what comes next; keep the order."""
    if len(stages) <= max(room, 3):
        return stages
    ranks = {"running": 0, "retrying": 0, "failed": 1, "pending": 2}
    ranked = sorted(range(len(stages)), key=lambda i: (ranks.get(stages[i]["state"], 3), i))
    return [stages[i] for i in sorted(ranked[: max(room, 3)])]
