"""The lines around every screen: title and counts above, banner, keys below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual import events
from textual.reactive import reactive
from textual.widget import Widget

from flowdapt.tui.keys import Key, shown_key
from flowdapt.tui.model.link import Banner, LinkState
from flowdapt.tui.widgets.safe import line

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp
    from flowdapt.tui.screens.view import View

__all__ = ["BannerLine", "Footer", "Header"]

_COUNTED = ("running", "queued", "cancelling")


class Bar(Widget):
    """A line that is drawn from the app's state; `renew` draws it again if that changed."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn = Text()

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app these widgets are in

    def style(self, role: str) -> str:
        return self.desk.colour(role)

    def drawn(self) -> Text:
        """Return the line as it should be now; an empty one says nothing."""
        return Text()

    def render(self) -> Text:
        self._drawn = self.drawn()
        return self._drawn

    def renew(self) -> None:
        if self.drawn() != self._drawn:
            self.refresh()


class Header(Bar):
    """Where one is, how the daemon stands, what runs."""

    title: reactive[str] = reactive("")
    note: reactive[str] = reactive("")

    def drawn(self) -> Text:
        left = [
            (" flowdapt ", f"bold {self.style('head')}"),
            (self.title, f"bold {self.style('key')}"),
        ]
        left += [(f"  {self.note}", self.style("dim"))] if self.note else []
        right = [*self._counts(), *self._link()]
        width = self.size.width
        start, end = line(left), line(right)
        gap = width - start.cell_len - end.cell_len
        if gap < 1:
            start.truncate(max(width - end.cell_len - 1, 0), overflow="ellipsis")
            gap = max(width - start.cell_len - end.cell_len, 0)
        made = start + Text(" " * gap) + end
        made.no_wrap = True
        return made

    def _counts(self) -> list[tuple[str, str]]:
        found = self.desk.link.status.get("runs") or {}
        glyphs = self.desk.glyphs
        pieces = []
        for state in _COUNTED:
            count = int(found.get(state, 0))
            if count or state == "running":
                style = self.desk.state_colour(state) if count else self.style("dim")
                pieces.append((f"{glyphs.state(state)} {count:,} {state}  ", style))
        return pieces

    def _link(self) -> list[tuple[str, str]]:
        desk = self.desk
        executor = (desk.link.status.get("executor") or {}).get("name", "")
        pieces = [(f"{executor}  ", self.style("dim"))] if executor else []
        if desk.read_only:
            pieces.append(("read-only  ", f"bold {self.style('warn')}"))
        role = {LinkState.LIVE: "good", LinkState.NONE: "bad", LinkState.STALE: "bad"}
        shown = desk.link.state.value
        pieces.append(
            (f"{desk.glyphs.mark} {shown} ", self.style(role.get(desk.link.state, "warn")))
        )
        return pieces


class BannerLine(Bar):
    """What a person must know of the connection; takes no room when there is nothing."""

    banner: reactive[Banner | None] = reactive(None, layout=True)

    def watch_banner(self, banner: Banner | None) -> None:
        self.display = banner is not None

    def drawn(self) -> Text:
        if self.banner is None:
            return Text("")
        return line([(f" {self.desk.glyphs.warning} ", self.style(self.banner.style)),
                     (self.banner.text, f"bold {self.style(self.banner.style)}")])  # fmt: skip


class Footer(Bar):
    """The keys of the view that may be pressed now, as many as fit; a click presses one."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view
        self._spots: list[tuple[int, Key]] = []

    def drawn(self) -> Text:
        view, width = self._view, self.size.width
        made = line([(" 1-0", f"bold {self.style('key')}"), (" views ", self.style("dim"))])
        self._spots = []
        for key in _shown([key for key in view.keys if key.footer and view.method_of(key)]):
            piece = self._piece(key, off=view.why_not(key) is not None)
            if made.cell_len + piece.cell_len > width:
                break
            made += piece
            self._spots.append((made.cell_len, key))
        return made

    def _piece(self, key: Key, *, off: bool) -> Text:
        dim = self.style("dim")
        name = shown_key(self.desk.keymap_of(key))
        return line([(f" {name}", f"bold {dim if off else self.style('key')}"),
                     (f" {key.words} ", dim + (" strike" if off else ""))])  # fmt: skip

    async def on_click(self, event: events.Click) -> None:
        pressed = next((key for end, key in self._spots if event.x < end), None)
        if pressed is not None and event.x >= len(" 1-0 views "):
            await self._view.do(pressed)


def _shown(keys: Sequence[Key]) -> list[Key]:
    """Return help first, so that it is never cut away."""
    return sorted(keys, key=lambda key: key.id != "help")
