"""`ctrl+p`: find a command by any of its words; the list is that of `:`."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from flowdapt.tui.commands import COMMANDS, Command
from flowdapt.tui.keys import KEYS, shown_key
from flowdapt.tui.widgets.dialogs import Dialog
from flowdapt.tui.widgets.table import Cell, Column, PagedTable

__all__ = ["Palette"]


def _shortcut(command: Command) -> str:
    return shown_key(KEYS[command.key].keys) if command.key else ""


_COLUMNS: tuple[Column[Command], ...] = (
    Column(
        "command", lambda one, _: Cell(f"{one.name} {one.argument}".strip()), width=18, must=True
    ),
    Column("does", lambda one, _: Cell(one.words, "dim"), flex=True, must=True),
    Column("key", lambda one, _: Cell(_shortcut(one), "key"), must=True),
)


class Palette(Dialog[str]):
    """Gives the name of the chosen command."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "down", priority=True),
        Binding("up", "move(-1)", "up", priority=True),
    ]
    hint = "enter do it   esc leave"

    def __init__(self) -> None:
        super().__init__("What is to be done?")

    def asked(self) -> ComposeResult:
        yield Input(placeholder="any words", id="dialog-input")
        yield PagedTable[Command](
            _COLUMNS, lambda one: one.name, empty="no command has these words", id="palette"
        )

    def on_mount(self) -> None:
        self._show("")
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def on_input_submitted(self) -> None:
        self._choose()

    def on_paged_table_opened(self) -> None:
        self._choose()

    def action_move(self, by: int) -> None:
        self.query_one(PagedTable).move(by)

    def _show(self, text: str) -> None:
        words = text.lower().split()
        fit = [
            one
            for one in COMMANDS.values()
            if all(word in f"{one.name} {one.words} {' '.join(one.also)}" for word in words)
        ]
        self.query_one(PagedTable).show(sorted(fit, key=lambda one: not one.name.startswith(text)))

    def _choose(self) -> None:
        chosen = self.query_one(PagedTable).current
        if chosen is not None:
            self.dismiss(chosen.name)
