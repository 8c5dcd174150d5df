"""The app: holds client, connection, theme and record, shows views, tells them the news.

What a screen shows is the screen's; what is true of the daemon is the model's.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.style import Style
from textual import events
from textual.app import App
from textual.await_complete import AwaitComplete

import flowdapt
from flowdapt.domain.errors import FlowdaptError
from flowdapt.tui.clipboard import Clipboard
from flowdapt.tui.commands import find_command
from flowdapt.tui.everywhere import Everywhere
from flowdapt.tui.feed import Feed, Starter
from flowdapt.tui.keys import KEYS, Key
from flowdapt.tui.model.link import Link
from flowdapt.tui.model.news import ALL, LINK, News
from flowdapt.tui.model.words import ASCII, UNICODE
from flowdapt.tui.names import Names
from flowdapt.tui.options import Options
from flowdapt.tui.questions import Questions
from flowdapt.tui.record import Record
from flowdapt.tui.screens.catalogue import make_detail, make_view
from flowdapt.tui.screens.view import View
from flowdapt.tui.themes import THEMES, role_of
from flowdapt.tui.typed import TypedKeys
from flowdapt.tui.widgets.dialogs import Dialog
from flowdapt.tui.widgets.safe import lines

if TYPE_CHECKING:
    from flowdapt.client import AsyncClient
    from flowdapt.client.transports import AsyncTransport

__all__ = ["FlowdaptApp"]

T = TypeVar("T")
_SEVERITY = {"bad": "error", "warn": "warning"}


class FlowdaptApp(App[None]):
    """The workstation. `transport` carries every request; `start` starts the local daemon."""

    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[Any]] = []

    def __init__(
        self,
        transport: Callable[[], AsyncTransport],
        *,
        options: Options | None = None,
        start: Starter | None = None,
        autostart: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        first: str = "pulse",
        ready: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self.options = options or Options()
        self.now = now
        self.link = Link(flowdapt.__version__)
        self.record = Record()
        self.names = Names()
        self.everywhere = Everywhere(self)
        self.read_only = self.options.read_only
        self.zoomed = False
        self.faults: list[Exception] = []
        self.glyphs = ASCII if self.options.ascii else UNICODE
        self._make_transport, self.starter, self._first = transport, start, first
        self._autostart, self._when_ready = autostart, ready
        self.client: AsyncClient
        self._views: dict[str, View] = {}
        self._missed: dict[View, set[str]] = {}
        self._styles: dict[str, Style] = {}
        self._clipboard_out = Clipboard(self)
        self._questions = Questions(self)
        self.typed = TypedKeys(self, super().on_event)
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = "mono" if self.no_color else self.options.theme

    # --- life ------------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        self.set_keymap(self.options.keys)
        self.show_view(self._first)
        self.call_after_refresh(self._connect)

    async def _connect(self) -> None:
        """Open the connection once something is on screen: its libraries take a moment to load."""
        make_client = await asyncio.to_thread(_load_client)
        self.transport = self._make_transport()
        self.client = make_client("unused", transport=self.transport)
        self.feed = Feed(
            self.client,
            self.transport,
            self.link,
            tell=self._tell,
            now=self.now,
            start=self.starter if self._autostart else None,
        )
        self.run_worker(self.feed.run(), group="feed", exit_on_error=True)
        self._when_ready()

    async def on_unmount(self) -> None:
        if hasattr(self, "client"):
            await self.client.close()

    async def on_event(self, event: events.Event) -> None:
        """Keep keys in order, and take out of what is pasted whatever a terminal would obey: fields draw it."""
        if isinstance(event, events.Paste):
            event.text = "\n".join(lines(event.text))
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self.typed.take(event)
        else:
            await super().on_event(event)

    # --- news ------------------------------------------------------------------------------------

    def _tell(self, news: News) -> None:
        """Pass news to the screen in sight; the others learn on coming back that something changed."""
        if not self.screen_stack:
            return  # the app is ending, its screens have gone
        for view in {*self._views.values(), *self._open_views()}:
            if view is self.screen:
                self.call_later(self._told, view, news)
            else:
                self._missed.setdefault(view, set()).update(news.parts)

    async def _told(self, view: View, news: News) -> None:
        if not view.is_whole:
            # It has nothing to draw on yet; `on_mount` asks for what it missed.
            self._missed.setdefault(view, set()).update(news.parts)
            return
        view.greeted = view.greeted or ALL in news.parts
        if news.touches(LINK):
            view.redraw_bars()
        await view.on_news(news)

    async def catch_up(self, view: View) -> None:
        """Tell a screen that comes back what it missed: to read again, since the events are gone."""
        if not self.link.usable or not view.is_whole:
            return
        if self._missed.pop(view, None) or not view.greeted:
            view.greeted = True
            await view.on_news(News(frozenset({ALL})))

    def forget(self, view: View) -> None:
        """Let go of a screen that was closed."""
        self._missed.pop(view, None)

    def _open_views(self) -> list[View]:
        return [screen for screen in self.screen_stack if isinstance(screen, View)]

    # --- views -----------------------------------------------------------------------------------

    def show_view(self, name: str) -> None:
        """Show one of the ten views, as it was left."""
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = make_view(name)
            self.install_screen(view, name)
        while (
            len(self.screen_stack) > 1
            and isinstance(self.screen, View)
            and self.screen not in self._views.values()
        ):
            self.pop_screen()
        if len(self.screen_stack) > 1:
            self.switch_screen(name)
        else:
            self.push_screen(name)

    def open_detail(self, kind: str, *about: str) -> None:
        """Open a screen about one thing, `DETAILS` in `catalogue` says which; `esc` comes back."""
        self.push_screen(make_detail(kind, *about))

    def show_runs(self, filter_: str) -> None:
        """Show the list of runs with a filter."""
        self.show_view("runs")
        self.call_later(self.obey, f"filter {filter_}")

    def pop_screen(self) -> AwaitComplete:
        """Close a screen, and let go of what was drawn on it."""
        closed = super().pop_screen()
        self.call_later(_forget_drawn)
        return closed

    @property
    def view(self) -> View | None:
        """Return the view in sight, also under a dialog."""
        return next((one for one in reversed(self.screen_stack) if isinstance(one, View)), None)

    async def ask(self, dialog: Dialog[T]) -> T | None:
        """Ask a question; return the answer, None for no. Call it from what a key does.

        It waits while another is being answered; the same question is not asked twice.
        """
        return await self._questions.ask(dialog)

    # --- what is told ----------------------------------------------------------------------------

    def say(self, text: str, role: str = "") -> None:
        """Tell in passing."""
        severity: Any = _SEVERITY.get(role, "information")
        self.notify("\n".join(lines(text)), severity=severity, markup=False)

    def tell_error(self, error: FlowdaptError) -> None:
        """Tell a refusal with its way out."""
        self.say(error.message + (f"\nfix: {error.fix}" if error.fix else ""), "bad")

    def tell_fault(self, error: Exception) -> None:
        """Tell a failure that nobody foresaw; the rest of the screen goes on."""
        self.faults.append(error)
        self.say(f"a fault of this program: {type(error).__name__}: {error}", "bad")

    def copy(self, text: str) -> None:
        """Put a text on the clipboard of the person's terminal, or into a file when it is long."""
        self.say(self._clipboard_out.put(text))

    async def obey(self, text: str) -> None:
        """Carry out a `:` command."""
        try:
            words = shlex.split(text)
            command = find_command(words[0]) if words else None
        except FlowdaptError as error:
            self.tell_error(error)
            return
        except ValueError as error:
            self.say(str(error), "warn")
            return
        view = self.view
        if command is None or view is None:
            return
        if command.key:
            await view.do(KEYS[command.key], *words[1:])
            return
        method = view.find_method(command.method)
        if method is None:
            self.say(f"{command.name}: not here", "warn")
        else:
            view.carry_out(method, *words[1:])

    # --- colours ---------------------------------------------------------------------------------

    def colour(self, role: str) -> str:
        return self.theme_variables.get(f"role-{role}", self.theme_variables["foreground"])

    def state_colour(self, state: str) -> str:
        return self.colour(role_of(state))

    def style_of(self, role: str) -> Style:
        """Return the style of a role, or of a state as `state-failed`."""
        found = self._styles.get(role)
        if found is None:
            name = role_of(role[6:]) if role.startswith("state-") else role
            found = self._styles[role] = Style(color=self.colour(name)) if role else Style()
        return found

    def cursor_style(self, focused: bool) -> Style:
        return Style(bgcolor=self.colour("cursor"), color=self.colour("cursor-text"), bold=focused)

    def watch_theme(self, theme: str) -> None:
        self._styles.clear()
        self.call_after_refresh(self.redraw)

    def redraw(self) -> None:
        """Draw everything anew: what is drawn by hand knows nothing of themes and modes."""
        for view in self._open_views():
            view.set_class(self.zoomed, "zoomed")
            view.redraw_bars()
            for widget in view.query("*"):
                widget.refresh()

    @property
    def theme_names(self) -> list[str]:
        return list(THEMES)

    def keymap_of(self, key: Key) -> str:
        return self.options.keys.get(key.id, key.keys)


def _load_client() -> type[AsyncClient]:
    from flowdapt.client import AsyncClient

    return AsyncClient


def _forget_drawn() -> None:
    """Empty a cache of Textual that keeps all lines of the last thousand widgets, closed ones too."""
    with suppress(ImportError, AttributeError):
        from textual._styles_cache import StylesCache

        StylesCache.get_inner_outer.cache_clear()
