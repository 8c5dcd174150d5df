"""What the keys of lists do where a page stands in place of a list: they scroll it."""

from __future__ import annotations

from typing import cast

from textual.dom import DOMNode

from flowdapt.tui.widgets.prose import Pane

__all__ = ["Scrolling"]


class Scrolling:
    """Mixed into screens and tabs with one `Pane`, before their base: its keys move in lists."""

    # No widget itself: Textual looks for the style of a widget along the first base that is one.

    @property
    def pane(self) -> Pane:
        return cast(DOMNode, self).query_one(Pane)

    def act_down(self) -> None:
        self.pane.scroll_relative(y=1, animate=False)

    def act_up(self) -> None:
        self.pane.scroll_relative(y=-1, animate=False)

    def act_page_down(self) -> None:
        self.pane.scroll_page_down(animate=False)

    def act_page_up(self) -> None:
        self.pane.scroll_page_up(animate=False)

    def act_top(self) -> None:
        self.pane.scroll_home(animate=False)

    def act_bottom(self) -> None:
        self.pane.scroll_end(animate=False)
