"""A dialog that offers a few things to choose from, each with a word about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from flowdapt.tui.widgets.dialogs import Dialog
from flowdapt.tui.widgets.safe import SafeText, line

__all__ = ["Choose"]


class Choose(Dialog[str]):
    """Offer (key, words) pairs; gives the key of the chosen one, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "down", "down", show=False), Binding("k", "up", "up", show=False),
    ]  # fmt: skip
    hint = "enter choose   esc leave it"

    def __init__(
        self, title: str, choices: Sequence[tuple[str, str]], text: str | Text = "", *, at: int = 0
    ) -> None:
        super().__init__(title, text)
        self._choices, self._at = tuple(choices), at

    def asked(self) -> ComposeResult:
        if not self._choices:
            yield SafeText("there is nothing to choose from")
        width = max((len(key) for key, _ in self._choices), default=0)
        yield OptionList(
            *(
                Option(line([(f"{key:<{width}}  ", None), (words, "dim")]))
                for key, words in self._choices
            ),
            id="choices",
            compact=True,
        )

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = self._at if self._choices else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index][0])

    def action_down(self) -> None:
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        self.query_one(OptionList).action_cursor_up()
