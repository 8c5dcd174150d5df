"""What every tab of a run has: the run as it is now, keys of its own, what is copied and exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.containers import Vertical

from flowdapt.domain.run import Run
from flowdapt.tui.keys import Key
from flowdapt.tui.widgets.table import PagedTable

if TYPE_CHECKING:
    from flowdapt.client import AsyncClient
    from flowdapt.tui.app import FlowdaptApp
    from flowdapt.tui.screens.run_detail import RunDetail

__all__ = ["RunPane"]


class RunPane(Vertical, can_focus=False):
    """A tab. A subclass says `tab`, yields its widgets, draws in `take`, and has `act_ID` for its keys."""

    DEFAULT_CSS: ClassVar[str] = "RunPane { height: 1fr; }"
    tab: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__(id=f"run-{self.tab}")
        self.display = False

    # --- what a subclass says --------------------------------------------------------------------

    def take(self, run: Run) -> None:
        """Draw the run as it is now; called while the tab is in sight, and when it comes into sight."""

    async def read(self) -> None:
        """Ask the daemon for what the run itself does not hold; called when the tab comes into sight."""

    def closed(self, run: Run) -> str | None:
        """Return why there is nothing to see in this tab; None when there is."""
        return None

    def why_not(self, key: Key) -> str | None:
        """Return why a key is off just now."""
        return None

    def exported(self) -> tuple[str, str] | None:
        """Return what `ctrl+s` writes: the ending of the file and its text; None: a picture."""
        return None

    async def filtered(self, text: str) -> None:
        """Take what was typed behind `/`."""

    @property
    def stage(self) -> str | None:
        """Return the stage that is meant when another tab is opened from here."""
        return None

    @property
    def note(self) -> str:
        """Return what the header says of this tab."""
        return ""

    # --- what a subclass uses --------------------------------------------------------------------

    @property
    def table(self) -> PagedTable[Any] | None:
        """Return the list whose cursor the keys of lists move."""
        return next(iter(self.query(PagedTable).results(PagedTable)), None)

    def focus_main(self) -> None:
        """Give the keys to what is looked at."""
        self.screen.set_focus(self.table)

    @property
    def page(self) -> RunDetail:
        return self.screen  # type: ignore[return-value]  # the only screen these tabs are in

    @property
    def desk(self) -> FlowdaptApp:
        return self.app  # type: ignore[return-value]  # the only app these tabs are in

    @property
    def client(self) -> AsyncClient:
        return self.desk.client

    @property
    def run(self) -> Run | None:
        return self.page.run
