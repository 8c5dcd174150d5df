"""What every screen of the workstation has: bars, prompt, keys with reasons, news from the feed.

A subclass says `view`, `title`, `KEYS` and `body()`; a key calls its `act_ID`; `why_not` says in words
why a key is off. Errors of what a key does are told, never raised.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker

from flowdapt.domain.errors import FlowdaptError
from flowdapt.tui.keys import EVERYWHERE, KEYS, Key, bindings
from flowdapt.tui.model.news import News
from flowdapt.tui.widgets.bars import BannerLine, Footer, Header
from flowdapt.tui.widgets.dialogs import Dialog
from flowdapt.tui.widgets.prompt import Prompt
from flowdapt.tui.widgets.table import PagedTable

if TYPE_CHECKING:
    from flowdapt.client import AsyncClient
    from flowdapt.tui.app import FlowdaptApp

__all__ = ["LIST_KEYS", "View"]

E = TypeVar("E", bound=BaseException)

WIDE = 100
_AFTER_S = 0.05
_SOON_S = 1.0
_BARS = (Header, BannerLine, Footer)
LIST_KEYS = (
    "down", "up", "page_down", "page_up", "top", "bottom", "open", "filter", "sort", "mark",
    "mark_all", "copy", "copy_yaml", "refresh",
)  # fmt: skip


class View(Screen[None]):
    """A screen of the workstation."""

    # The name in `catalogue`; the words in the header; the keys besides those that are everywhere.
    view: ClassVar[str] = ""
    title_words: ClassVar[str] = ""
    KEYS: ClassVar[Sequence[str]] = ()
    AUTO_FOCUS = "PagedTable"
    greeted = False

    def __init__(self) -> None:
        super().__init__()
        self._waiting: set[Coroutine[Any, Any, None]] = set()
        self._footer_due: Timer | None = None
        self._due: set[Callable[[], None]] = set()

    def __init_subclass__(cls, **options: Any) -> None:
        if "KEYS" in cls.__dict__:
            cls.BINDINGS = bindings([*cls.KEYS, *EVERYWHERE])
        super().__init_subclass__(**options)

    def compose(self) -> ComposeResult:
        yield Header()
        yield BannerLine()
        with Vertical(id="body"):
            yield from self.body()
        yield Prompt()
        yield Footer(self)

    # --- what a subclass says --------------------------------------------------------------------

    def body(self) -> ComposeResult:
        """Yield what stands between the bars."""
        yield from ()

    async def on_news(self, news: News) -> None:
        """Take what changed. Called at most ten times a second, and on coming back to this screen."""

    def why_not(self, key: Key) -> str | None:
        """Return why a key does nothing now; None when it may be pressed. Ask `super()` last."""
        return self.reason_of_desk(key) or ("not here" if self.method_of(key) is None else None)

    def reason_of_desk(self, key: Key) -> str | None:
        """Return why nothing of this sort may be done just now, whatever it is done to."""
        if key.changes and self.desk.read_only:
            return "read-only: ! allows changes"
        if key.needs_daemon and not self.desk.link.usable:
            return f"{self.desk.link.state}: there is no connection"
        return None

    @property
    def heading(self) -> str:
        """Return what the header says besides the title."""
        return ""

    def exported(self) -> tuple[str, str]:
        """Return what `ctrl+s` writes: the ending of the file and its text. A list as CSV, else a picture."""
        table = self.table
        return ("svg", self.app.export_screenshot()) if table is None else ("csv", table.as_csv())

    # --- what a subclass uses --------------------------------------------------------------------

    @property
    def desk(self) -> FlowdaptApp:
        """Return the app: client, link, theme, record, questions."""
        return self.app  # type: ignore[return-value]  # the only app these screens are in

    @property
    def client(self) -> AsyncClient:
        return self.desk.client

    @property
    def table(self) -> PagedTable[Any] | None:
        """Return the list of this screen, when it has one; the keys of lists move in it."""
        return next(iter(self.query(PagedTable).results(PagedTable)), None)

    @property
    def keys(self) -> list[Key]:
        return [KEYS[id_] for id_ in [*self.KEYS, *EVERYWHERE]]

    async def agrees(self, question: Dialog[Any]) -> bool:
        """Ask something that is answered by yes or no."""
        return bool(await self.desk.ask(question))

    def work(self, doing: Coroutine[Any, Any, None], *, only: str = "") -> None:
        """Carry on with it in the background; errors are told. `only` ends an older one of the name."""
        self._waiting.add(doing)
        begin: Callable[[], Coroutine[None, None, None]] = partial(self._told, doing)
        options: dict[str, Any] = {"group": only or "work", "exclusive": bool(only)}
        _: Worker[None] = self.run_worker(begin, exit_on_error=False, **options)

    def soon(self, doing: Callable[[], None]) -> None:
        """Do it in a second, once, however often it is asked for until then."""
        if doing not in self._due:
            self._due.add(doing)
            self.set_timer(_SOON_S, partial(self._do_due, doing))

    def _do_due(self, doing: Callable[[], None]) -> None:
        self._due.discard(doing)
        doing()

    @property
    def is_whole(self) -> bool:
        """Say whether all its parts are there: not before it is mounted, and no more as the app ends."""
        return self.is_mounted and all(self.query(part) for part in (*_BARS, Prompt))

    def redraw_bars(self) -> None:
        if not all(self.query(part) for part in _BARS):
            return  # the app is ending: parts go before the screen
        header = self.query_one(Header)
        header.title, header.note = self.title_words, self.heading
        header.renew()
        self.query_one(BannerLine).banner = self.desk.link.banner(self.desk.now())
        self.query_one(Footer).renew()

    async def _told(self, doing: Awaitable[None]) -> None:
        """Await what a key or an update does; tell every failure, and go on: it is one screen's."""
        self._waiting.discard(doing)
        try:
            await doing
        except* FlowdaptError as group:
            self.desk.tell_error(_first(group))
        except* Exception as group:
            self.desk.tell_fault(_first(group))

    # --- keys ------------------------------------------------------------------------------------

    def method_of(self, key: Key) -> Callable[..., Any] | None:
        return self.find_method(key.method)

    def find_method(self, name: str) -> Callable[..., Any] | None:
        """Return what this screen does for a key or command, else what holds everywhere."""
        return getattr(self, name, None) or getattr(self.desk.everywhere, name, None)

    async def action_act(self, id_: str) -> None:
        """Do what a key does, or say why not."""
        await self.do(KEYS[id_])

    async def do(self, key: Key, *words: str) -> None:
        reason = self.why_not(key)
        method = self.method_of(key)
        if reason is not None or method is None:
            self.desk.say(f"{key.words}: {reason}", "warn")
            return
        self.carry_out(method, *words)

    def carry_out(self, method: Callable[..., Any], *words: str) -> None:
        """Call what a key or a command does; tell what it refuses."""
        try:
            done = method(*words)
        except FlowdaptError as error:
            self.desk.tell_error(error)
            return
        if inspect.iscoroutine(done):
            # A question waits for its answer; the loop that brings the answer must not wait for it.
            self.work(done)

    # --- coming and going ------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.redraw_bars()
        self.call_later(self.desk.catch_up, self)
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        """Draw ages and the banner's words as time goes by."""
        if self.is_current:
            self.redraw_bars()
            if self.table is not None:
                self.table.tick()

    def on_unmount(self) -> None:
        self.desk.forget(self)
        for doing in self._waiting:
            # It was never begun: the screen was closed first.
            doing.close()

    async def on_screen_resume(self) -> None:
        self.redraw_bars()
        self.desk.call_later(self.desk.typed.act)
        await self.desk.catch_up(self)

    def on_resize(self, event: events.Resize) -> None:
        """Say to the style sheet that there is no room for two panes: class `narrow`."""
        self.set_class(event.size.width < WIDE, "narrow")

    # --- the keys of lists -----------------------------------------------------------------------

    def act_down(self) -> None:
        self._in_table(lambda table: table.move(1))

    def act_up(self) -> None:
        self._in_table(lambda table: table.move(-1))

    def act_page_down(self) -> None:
        self._in_table(lambda table: table.page(1))

    def act_page_up(self) -> None:
        self._in_table(lambda table: table.page(-1))

    def act_top(self) -> None:
        self._in_table(lambda table: table.move_to(0))

    def act_bottom(self) -> None:
        self._in_table(lambda table: table.move_to(len(table.rows) - 1))

    def act_mark(self) -> None:
        self._in_table(lambda table: table.toggle_mark())

    def act_mark_all(self) -> None:
        self._in_table(lambda table: table.toggle_all())

    def _in_table(self, move: Callable[[PagedTable[Any]], object]) -> None:
        table = self.table
        if table is not None:
            move(table)

    def on_paged_table_moved(self) -> None:
        """Say in the footer what may be done with the row under the cursor, after the cursor itself."""
        if self._footer_due is not None:
            self._footer_due.stop()
        self._footer_due = self.set_timer(_AFTER_S, self.query_one(Footer).renew)

    # --- the prompt ------------------------------------------------------------------------------

    @property
    def prompt(self) -> Prompt:
        return self.query_one(Prompt)

    async def on_prompt_given(self, event: Prompt.Given) -> None:
        self.on_prompt_left()
        if event.kind == ":":
            await self.desk.obey(event.value)
        elif event.kind == "/":
            self.work(self.filtered(event.value), only="filter")

    def on_prompt_left(self) -> None:
        if not self.prompt.display:
            self._focus_again()

    async def filtered(self, text: str) -> None:
        """Take a new filter line."""

    def _focus_again(self) -> None:
        table = self.table
        if table is not None:
            self.set_focus(table)


def _first(group: BaseExceptionGroup[E]) -> E:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
