"""Series of numbers as a plot in the terminal, drawn anew for the room there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.widget import Widget

from flowdapt.tui.model.series import SIGNS, Series, number, plot
from flowdapt.tui.model.words import ASCII
from flowdapt.tui.widgets.safe import cut, line

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["SERIES_ROLES", "PlotView"]

SERIES_ROLES = ("busy", "warn", "good", "bad", "gone", "mark", "head", "key")


class PlotView(Widget, can_focus=False):
    """A plot of several series with axes and a legend."""

    DEFAULT_CSS: ClassVar[str] = "PlotView { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id="plot")
        self.series: Sequence[Series] = ()
        self.words = ""

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app these widgets are in

    @property
    def _by_signs(self) -> bool:
        """Say whether series are told apart by their signs: where neither dots nor colours do it."""
        alike = self.desk.theme == "mono" and len(self.series) > 1
        return alike or self.desk.glyphs is ASCII

    def show(self, series: Sequence[Series], words: str = "") -> None:
        """Draw series, or say in words why there is none."""
        self.series, self.words = series[: len(SERIES_ROLES)], words
        self.refresh()

    def render(self) -> Text:
        width, height = self.size.width, self.size.height
        legend = [self._legend(at, one, width) for at, one in enumerate(self.series)]
        drawn = plot(self.series, width, height - len(legend), ascii_only=self._by_signs)
        dim = self.desk.style_of("dim")
        if drawn is None:
            words = self.words or ("no room for a plot" if self.series else "")
            return Text("\n").join([*legend, line([(cut(words, width), dim)])])
        rule = "|" if self.desk.glyphs is ASCII else "│"
        rows = [
            line([(f"{label} ", dim), (rule, dim), *self._merged(row)])
            for label, row in zip(drawn.labels, drawn.rows, strict=True)
        ]
        space = " " * (drawn.margin + 1)
        return Text("\n").join([*legend, *rows, line([(space + drawn.axis, dim)]), line([(space + drawn.ticks, dim)])])  # fmt: skip

    def _legend(self, at: int, series: Series, width: int) -> Text:
        app, values = self.desk, series.values
        told = f"{number(values[-1])}   {number(min(values))} to {number(max(values))}" if values else "no number"  # fmt: skip
        sign = SIGNS[at] if self._by_signs else app.glyphs.mark
        name = cut(series.key, max(width - len(told) - 5, 4), app.glyphs.more)
        return line(
            [(f"{sign} ", app.style_of(SERIES_ROLES[at])), (f"{name}  ", None), (told, app.style_of("dim"))]
        )  # fmt: skip

    def _merged(self, row: Sequence[tuple[str, int | None]]) -> list[tuple[str, str]]:
        """Join neighbours of one colour."""
        pieces: list[tuple[str, str]] = []
        for char, owner in row:
            style = "" if owner is None else self.desk.colour(SERIES_ROLES[owner])
            if pieces and pieces[-1][1] == style:
                pieces[-1] = (pieces[-1][0] + char, style)
            else:
                pieces.append((char, style))
        return pieces
