"""What the keys do that work on every screen: help, palette, record, theme, zoom, export, quit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.domain.errors import InvalidInput
from flowdapt.tui.commands import complete, find_command
from flowdapt.tui.named import Named
from flowdapt.tui.screens.catalogue import VIEWS
from flowdapt.tui.themes import THEMES
from flowdapt.tui.widgets.dialogs import Ask

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["Everywhere"]


class Everywhere(Named):
    """The app's part of the keys: a screen without an `act_ID` of its own has these."""

    def __init__(self, app: FlowdaptApp) -> None:
        self._app = app

    async def act_help(self) -> None:
        from flowdapt.tui.screens.help import KeyList

        if self._app.view is not None:
            await self._app.ask(KeyList(self._app.view))

    async def act_record(self) -> None:
        from flowdapt.tui.screens.acts import Acts

        await self._app.ask(Acts(self._app.record))

    async def act_palette(self) -> None:
        from flowdapt.tui.screens.palette import Palette

        chosen = await self._app.ask(Palette())
        if chosen is not None:
            command = find_command(chosen)
            if command.argument and self._app.view is not None:
                self.act_command(f"{command.name} ")
            else:
                await self._app.obey(command.name)

    def act_command(self, start: str = "") -> None:
        if self._app.view is not None:
            if self._app.link.usable:
                self._app.view.work(self._app.names.renew(self._app.client), only="names")
            self._app.view.prompt.call(":", start, completes=lambda text: complete(text, self._app))

    def act_back(self) -> None:
        if len(self._app.screen_stack) > 2:  # noqa: PLR2004 - Textual's own screen and a view
            self._app.pop_screen()

    def act_start(self) -> None:
        """Start the daemon that a person asks for, in the background."""
        if self._app.starter is None:
            raise InvalidInput(
                "it is on another machine, or not to be started from here", fix="flowdapt up"
            )
        if self._app.link.usable:
            raise InvalidInput("a daemon runs already", fix="1 shows how it is")
        self._app.feed.start_with(self._app.starter)

    def act_quit(self) -> None:
        self._app.exit()

    def act_theme(self, *words: str) -> None:
        """Take the next theme, or the one that is named."""
        names = list(THEMES)
        chosen = words[0] if words else names[(names.index(self._app.theme) + 1) % len(names)]
        if chosen not in THEMES:
            raise InvalidInput(f"there is no theme {chosen!r}", fix=f"one of {' '.join(names)}")
        self._app.theme = chosen
        self._app.say(f"theme {chosen}   (to keep it: tui.theme in the settings)")

    def act_read_only(self) -> None:
        self._app.read_only = not self._app.read_only
        self._app.say(
            "read-only: no key changes anything" if self._app.read_only else "changes are allowed"
        )
        self._app.redraw()

    def act_zoom(self) -> None:
        """Hide what stands beside the main pane; the class `zoomed` says so to the style sheet."""
        self._app.zoomed = not self._app.zoomed
        self._app.redraw()

    async def act_export(self) -> None:
        """Write what is shown to a file that is not there yet."""
        if self._app.view is None:
            return
        suffix, text = self._app.view.exported()
        name = f"flowdapt-{self._app.view.view}-{self._app.now():%Y%m%d-%H%M%S}.{suffix}"
        chosen = await self._app.ask(
            Ask("Write what is shown to a file", value=str(Path.cwd() / name))
        )
        if chosen:
            self._app.say(_written(chosen, text))

    def show_view(self, name: str) -> None:
        self._app.show_view(name)

    async def act_switch_executor(self) -> None:
        """Offer the executors, wherever one is."""
        await self.act_use_named()


def _to_view(name: str) -> Callable[[Everywhere], None]:
    return lambda self: self.show_view(name)


for _name in VIEWS:
    setattr(Everywhere, f"act_view_{_name}", _to_view(_name))


def _written(name: str, text: str) -> str:
    path = Path(name).expanduser()
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InvalidInput(
            f"{path}: {error.strerror}", code="file.unwritable", fix="choose another path"
        ) from None
    return f"written to {path}"
