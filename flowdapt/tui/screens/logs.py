"""The tab with what a run's stages said: a window on the daemon's log, followed or searched, never all of it.

The search is the daemon's, over all lines. Who follows is at the end; whoever scrolls up lets go, is told
how to follow again, and is moved by nothing that arrives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from textual.app import ComposeResult

from flowdapt.client.endpoints import runs as calls
from flowdapt.domain.errors import InvalidInput
from flowdapt.domain.run import Run
from flowdapt.domain.wording import amount
from flowdapt.tui.keys import Key
from flowdapt.tui.model.logs import LogChoice, LogWindow, line_of
from flowdapt.tui.screens.run_files import save_log
from flowdapt.tui.screens.run_pane import RunPane
from flowdapt.tui.widgets.choose import Choose
from flowdapt.tui.widgets.dialogs import Ask, Notice
from flowdapt.tui.widgets.log import LogView
from flowdapt.tui.widgets.log_status import LogStatus

__all__ = ["LogPane"]

_LOOK_S = 0.25
# How often, in looks, somebody who does not follow is told how many lines came meanwhile.
_COUNT_EVERY = 4
_SAVE_PAGE = 10_000


class LogPane(RunPane):
    """Lines of a run's log."""

    tab = "logs"

    def __init__(self) -> None:
        super().__init__()
        self.window = LogWindow()
        self._looks = 0
        self._busy = self._ended = False
        self._progress = ""

    def compose(self) -> ComposeResult:
        yield LogView()
        yield LogStatus()

    def on_mount(self) -> None:
        self.set_interval(_LOOK_S, self._look)

    @property
    def log_view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def stage(self) -> str | None:
        current = self.log_view.current
        return self.window.choice.stage or (current.stage if current is not None else None)

    @property
    def note(self) -> str:
        return self.window.choice.words

    def focus_main(self) -> None:
        self.log_view.focus()

    # --- reading ---------------------------------------------------------------------------------

    def take(self, run: Run) -> None:
        self._status()

    async def read(self) -> None:
        """Show the end of the log, unless somebody reads in it."""
        if not self.window.loaded:
            await self._to_end()

    def show_stage(self, stage: str, index: int | None = None) -> None:
        """Show what one stage said, or one item of it."""
        if (self.window.choice.stage, self.window.choice.index) != (stage, index):
            self.window.reset(replace(LogChoice(sought=self.window.choice.sought), stage=stage, index=index))  # fmt: skip

    async def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        run = self.run
        return {} if run is None else await self.client.ask(calls.logs(run.uid, **question))

    async def _to_end(self) -> None:
        """Show the last lines, and follow."""
        choice = self.window.choice
        page = await self._ask(self.window.the_end())
        if choice is self.window.choice:
            self.window.take_end(page)
            self._follow(True)
            self._show()

    def _follow(self, follows: bool) -> None:
        view = self.log_view
        if view.follows != follows:
            view.follows = follows
            if follows:
                view.begun, self._ended = None, False
        self._status()

    def _show(self, at: int | None = None) -> None:
        view = self.log_view
        choice = self.window.choice
        wider = ": f shows all stages" if choice.stage else ""
        view.words = f"no line: {choice.words}{wider}" if choice.words else "it said nothing yet"
        view.show(self.window.lines, at=at)
        self._status()
        self.page.redraw_bars()

    def _look(self) -> None:
        """Bring what is new to whoever follows; count it for everybody else."""
        run = self.run
        if not self.display or not self.page.is_current or not self.desk.link.usable:
            return
        if run is None or not self.window.loaded or self._busy or self._ended:
            return
        self._looks += 1
        follows = self.log_view.follows and self.window.at_end
        if follows or self._looks % _COUNT_EVERY == 0:
            self._busy = True
            self.page.begin(partial(self._look_once, run, follows=follows))

    async def _look_once(self, run: Run, *, follows: bool) -> None:
        choice = self.window.choice
        try:
            question = self.window.newer() if follows else self.window.the_newest()
            page = await self._ask(question)
            if choice is not self.window.choice:
                return
            if not follows:
                self.window.take_newest(page)
                self._status()
            elif len(page.get("items") or ()) >= question["limit"]:
                # More came than one page holds: the end is what whoever follows wants to see.
                await self._to_end()
            elif page.get("items"):
                self.window.take_newer(page)
                self._show()
            # A look that began after the end has seen all.
            self._ended = run.state.terminal and not (follows and page.get("items"))
        finally:
            self._busy = False

    def on_log_view_near_end(self, event: LogView.NearEnd) -> None:
        window = self.window
        if not window.loaded or not window.lines:
            return
        if event.below and not window.at_end:
            self.page.begin(partial(self._more, below=True), only="log-page")
        elif not event.below and not window.at_start:
            self.page.begin(partial(self._more, below=False), only="log-page")

    async def _more(self, *, below: bool) -> None:
        choice, window = self.window.choice, self.window
        page = await self._ask(window.newer() if below else window.older())
        if choice is not window.choice:
            return
        if below:
            window.take_newer(page)
        else:
            window.take_older(page)
        self._show()

    def on_log_view_moved(self, event: LogView.Moved) -> None:
        if event.up and self.log_view.follows:
            self._follow(False)
        self._status()

    # --- what stands below -----------------------------------------------------------------------

    def _status(self) -> None:
        """Say where one is, whether one follows, and what is new."""
        if self.is_mounted:
            opened = self.run is not None and not self.run.state.terminal
            self.query_one(LogStatus).tell(self.log_view, self.window, opened, self._progress)

    # --- keys ------------------------------------------------------------------------------------

    def why_not(self, key: Key) -> str | None:
        if key.id in {"open", "mark"} and self.log_view.current is None:
            return "there is no line"
        if key.id in {"next_hit", "previous_hit", "context"} and not self.window.choice.sought:
            return "nothing is looked for: / finds"
        return None

    def act_down(self) -> None:
        self.log_view.move(1)

    def act_up(self) -> None:
        self.log_view.move(-1)

    def act_page_down(self) -> None:
        self.log_view.page(1)

    def act_page_up(self) -> None:
        self.log_view.page(-1)

    def act_left(self) -> None:
        self.log_view.slide(-1)

    def act_right(self) -> None:
        self.log_view.slide(1)

    async def act_top(self) -> None:
        """Go to the first line."""
        self._follow(False)
        if self.window.at_start:
            self.log_view.move_to(0)
            return
        choice = self.window.choice
        page = await self._ask(self.window.the_start())
        if choice is self.window.choice:
            self.window.take_start(page)
            self._show(at=0)

    async def act_bottom(self) -> None:
        await self._to_end()

    async def act_follow(self) -> None:
        """Follow, or hold still."""
        if self.log_view.follows:
            self._follow(False)
            self.log_view.refresh()
        else:
            await self._to_end()

    async def act_line(self, *words: str) -> None:
        """Go to a line by its number."""
        if not words or not words[0].replace(",", "").isdigit():
            raise InvalidInput("which line?", fix=":line 12345")
        await self._go_to(int(words[0].replace(",", "")))

    async def _go_to(self, number: int) -> None:
        """Bring a line into sight, wherever it is."""
        self._follow(False)
        window, choice = self.window, self.window.choice
        lines = window.lines
        if not (lines and lines[0].number <= number <= lines[-1].number):
            before, behind = window.around(number)
            older, newer = await self._ask(before), await self._ask(behind)
            if choice is not window.choice:
                return
            window.take_around(older, newer)
        self._show(at=number)

    def act_open(self) -> None:
        """Show a whole line, however long."""
        found = self.log_view.current
        if found is not None:
            words = f"{found.clock}  {found.place}  attempt {found.attempt}  {found.level}  {found.stream}\n\n"  # fmt: skip
            self.page.begin(partial(self._tell_line, f"Line {found.number:,}", words + found.text))

    async def _tell_line(self, title: str, text: str) -> None:
        await self.desk.ask(Notice(title, text))

    # --- searching -------------------------------------------------------------------------------

    def act_find(self, *words: str) -> None:
        if words:
            self.page.begin(partial(self.filtered, " ".join(words)), only="find")
        else:
            self.page.prompt.call("/", self.window.choice.sought)
            self.page.prompt.placeholder = "a regular expression, in all lines"

    async def filtered(self, text: str) -> None:
        """Look for an expression; from the line in sight on, then from the top."""
        choice = replace(self.window.choice, sought=text)
        if choice.only or self.window.choice.only:
            await self._choose(choice)
        else:
            self.window.choice = choice
            if text:
                # Who looks at the end wants the last match, everybody else the next.
                await self._find(-1 if self.log_view.follows else 1, itself=True)
        self.log_view.mark(text)
        self.page.redraw_bars()

    async def act_next_hit(self) -> None:
        await self._find(1)

    async def act_previous_hit(self) -> None:
        await self._find(-1)

    async def _find(self, way: int, *, itself: bool = False) -> None:
        """Go to the next match in a direction, from the line in sight on; behind the last comes the first."""
        view, finding = self.log_view, self.window.choice.finding
        here = view.current.number if view.current is not None else 0
        past = 0 if itself else 1
        place: dict[str, Any] = {"after": max(here - 1 + past, 0)}
        if way < 0:
            place = {"before": max(here + 1 - past, 1), "tail": True}
        found = (await self._ask(finding | place)).get("items")
        wrapped = not found
        if not found:
            found = (await self._ask(finding | ({} if way > 0 else {"tail": True}))).get("items")
        if not found:
            self.desk.say(f"no line matches {self.window.choice.sought!r}", "warn")
            return
        if wrapped and here:
            self.desk.say("from the top again" if way > 0 else "from the end again")
        await self._go_to(line_of(found[0]).number)

    async def act_context(self) -> None:
        """Show all lines, matches alone, or matches with lines around them."""
        await self._choose(self.window.choice.next_context())

    async def act_level(self) -> None:
        await self._choose(self.window.choice.next_level())

    async def _choose(self, choice: LogChoice) -> None:
        self.window.reset(choice)
        await self._to_end()

    async def act_narrow(self) -> None:
        """Choose the stage whose lines are shown."""
        stages = [stage.name for stage in self.run.stages] if self.run is not None else []
        chosen = await self.desk.ask(
            Choose("Whose lines?", [("all", "every stage"), *((name, "this stage") for name in stages)])
        )  # fmt: skip
        if chosen is not None:
            stage = None if chosen == "all" else chosen
            await self._choose(replace(self.window.choice, stage=stage, index=None, attempt=None))

    async def act_attempt(self) -> None:
        """Choose the attempt whose lines are shown."""
        stage, run = self.stage, self.run
        found = [
            one.attempt for one in (run.stages if run is not None else ()) if one.name == stage
        ]
        attempts = range(max(found, default=1), 0, -1)
        offered = [("all", "every attempt"), *((str(at), f"of {stage}") for at in attempts)]
        chosen = await self.desk.ask(Choose("Which attempt?", offered))
        if chosen is not None:
            attempt = None if chosen == "all" else int(chosen)
            await self._choose(replace(self.window.choice, stage=stage, attempt=attempt))

    # --- taking it away --------------------------------------------------------------------------

    def act_mark(self) -> None:
        """Begin a selection at the cursor, or let go of it."""
        view = self.log_view
        self._follow(False)
        view.begun = view.current.number if view.begun is None and view.current else None
        view.refresh()
        self._status()

    def act_back(self) -> None:
        """Let go of the selection, then of what was looked for, then of the screen."""
        view, choice = self.log_view, self.window.choice
        if view.begun is not None:
            self.act_mark()
        elif choice.sought:
            self.page.begin(partial(self.filtered, ""), only="find")
        else:
            self.desk.everywhere.act_back()

    def act_copy(self) -> None:
        self.desk.copy("\n".join(one.plain() for one in self.log_view.selected))

    def exported(self) -> tuple[str, str] | None:
        return "log", "".join(f"{one.plain()}\n" for one in self.window.lines)

    async def act_save(self) -> None:
        """Write all lines that fit the choice to a file, page after page."""
        run = self.run
        if run is None:
            return
        given = await self.desk.ask(Ask("Save the log as", "a path on this machine", value=f"{run.name}.log"))  # fmt: skip
        if given:
            path, count = await save_log(given, self._pages())
            self._progress = ""
            self._status()
            self.desk.say(f"saved {amount(count, 'line')} as {path}")
            self.desk.record.add(self.desk.now(), "logs", run.name, "--all")

    async def _pages(self) -> AsyncIterator[Sequence[str]]:
        """Yield the chosen lines, page after page, and say how far that is."""
        question, after = self.window.choice.parameters | {"limit": _SAVE_PAGE}, 0
        while True:
            page = await self._ask(question | {"after": after})
            if not page.get("items"):
                return
            yield [line_of(one).plain() for one in page["items"]]
            after = int(page["next_after"])
            self._progress = f"saving: {100 * after // max(self.window.total, after)} %"
            self._status()
