"""Questions over the screen: yes or no, a name to type, a text to edit. Escape is always no."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, TextArea

from flowdapt.tui.widgets.safe import SafeText, lines, safe

__all__ = ["Ask", "Confirm", "Dialog", "EditText", "Notice", "TypedConfirm"]

T = TypeVar("T")


class Dialog(ModalScreen[T]):
    """A box with a title, a text and an answer. Subclasses add what is asked, and call `dismiss`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "refuse", "no", priority=True)]
    # The last line of a box says how to leave it: where there are few lines it keeps that one.
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-high")]  # noqa: RUF012 - as the base declares it
    hint = "esc no"
    # Whether its text is what the keys move in.
    reads = False

    def __init__(self, title: str, text: str | Text = "") -> None:
        super().__init__()
        self._title, self._text = title, text

    @property
    def about(self) -> str:
        """Return what it asks, in a line."""
        return self._title

    def compose(self) -> ComposeResult:
        with Vertical(id="dialog"):
            yield SafeText(self._title, id="dialog-title")
            if self._text:
                with VerticalScroll(id="dialog-text", can_focus=self.reads):
                    yield SafeText(self._text)
            yield from self.asked()
            yield SafeText(self.hint, id="dialog-hint")

    def asked(self) -> ComposeResult:
        """Yield what the answer is given in."""
        yield from ()

    def action_refuse(self) -> None:
        self.dismiss(None)


class Notice(Dialog[None]):
    """Tell something that is longer than a toast."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,q", "refuse", "close"),
        Binding("j", "move(1)", "down"), Binding("k", "move(-1)", "up"),
        Binding("space", "move(10)", "page down"),
    ]  # fmt: skip
    hint = "j k move   esc close"
    reads = True

    def action_move(self, by: int) -> None:
        self.query_one("#dialog-text").scroll_relative(y=by, animate=False)


class Confirm(Dialog[bool]):
    """Ask yes or no; gives True or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "agree", "yes"), Binding("n", "refuse", "no"),
    ]  # fmt: skip
    hint = "y yes   n no"

    def action_agree(self) -> None:
        self.dismiss(True)


class Ask(Dialog[str]):
    """Ask for one line; gives it, or None."""

    hint = "enter take it   esc no"

    def __init__(
        self, title: str, text: str | Text = "", *, value: str = "", placeholder: str = ""
    ) -> None:
        super().__init__(title, text)
        self._value, self._placeholder = value, placeholder

    def asked(self) -> ComposeResult:
        yield Input(safe(self._value), placeholder=self._placeholder, id="dialog-input")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.answer(event.value)

    def answer(self, value: str) -> None:
        self.dismiss(value)


class TypedConfirm(Ask):
    """Ask for a word to be typed before something is destroyed; gives the word, or None."""

    def __init__(self, title: str, text: str | Text, *, word: str) -> None:
        super().__init__(title, text, placeholder=word)
        self._word = word
        self.hint = f"type {word} and enter   esc no"

    def answer(self, value: str) -> None:
        if value.strip() == self._word:
            self.dismiss(value)
        else:
            self.query_one("#dialog-hint", SafeText).show(
                f"that is not {self._word}; esc leaves it"
            )


class EditText(Dialog[str]):
    """Edit a text of several lines; gives it, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "take", "take", priority=True)]
    hint = "ctrl+s take it   esc no"

    def __init__(self, title: str, text: str | Text = "", *, value: str = "") -> None:
        super().__init__(title, text)
        self._value = value

    def asked(self) -> ComposeResult:
        # What is edited is written with escapes (YAML, JSON): nothing is lost by showing controls.
        yield TextArea("\n".join(lines(self._value)), id="dialog-area")

    def action_take(self) -> None:
        self.dismiss(self.query_one(TextArea).text)
