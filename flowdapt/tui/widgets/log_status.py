"""The line below a log: where one is, whether one follows and how to, what came unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowdapt.domain.wording import amount
from flowdapt.tui.model.logs import LogWindow
from flowdapt.tui.widgets.log import LogView
from flowdapt.tui.widgets.safe import SafeText, line

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["LogStatus"]

Pieces = list[tuple[object, Any]]


class LogStatus(SafeText):
    """One line; `tell` draws it."""

    def __init__(self) -> None:
        super().__init__("", id="log-status")

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app these widgets are in

    def tell(self, view: LogView, window: LogWindow, opened: bool, progress: str) -> None:
        """Draw it; `opened` says that the run goes on, `progress` what is done meanwhile."""
        style = self.desk.style_of
        pieces = self._following(window, opened) if view.follows else self._place(view, window, opened)  # fmt: skip
        if view.begun is not None:
            words = f"   {amount(len(view.selected), 'line')} selected: y copies"
            pieces.append((words, style("mark")))
        pieces += [("   a cap cut this log", style("warn"))] if window.truncated else []
        pieces += [(f"   {progress}", style("busy"))] if progress else []
        self.show(line(pieces))

    def _following(self, window: LogWindow, opened: bool) -> Pieces:
        desk = self.desk
        word, role = ("following", "good") if opened else ("the end", "dim")
        return [
            (f" {desk.glyphs.mark} {word}", desk.style_of(role)),
            (f"   {amount(window.total, 'line')}", desk.style_of("dim")),
        ]

    def _place(self, view: LogView, window: LogWindow, opened: bool) -> Pieces:
        style = self.desk.style_of
        if view.current is None:
            return []
        pieces: Pieces = [(f" line {view.current.number:,} of {window.total:,}", None)]
        if window.unseen:
            pieces.append((f"   {window.unseen}", style("warn")))
        return [*pieces, ("   F", style("key")), (" follows" if opened else " to the end", style("dim"))]  # fmt: skip
