"""A dialog that asks for several things at once and stays until they are taken: faults stand at their field."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, TextArea

from flowdapt.domain.errors import FlowdaptError
from flowdapt.tui.model.form import Field, faults_of, read_fields, read_object
from flowdapt.tui.widgets.dialogs import Dialog
from flowdapt.tui.widgets.safe import SafeText, lines, safe

__all__ = ["Form"]

T = TypeVar("T")
Take = Callable[[dict[str, Any], dict[str, Any] | None], Awaitable[T]]
_AREA = "form-json"


class Form(Dialog[T]):
    """Fields, and with `json` an area for a whole input as JSON.

    `take` gets the values and the JSON; what it returns is the answer, what it refuses is shown.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "take", "take it", priority=True),
        Binding("down", "app.focus_next", "next", show=False),
        Binding("up", "app.focus_previous", "previous", show=False),
    ]
    hint = "ctrl+s take it   tab next field   esc leave it"

    def __init__(
        self, title: str, fields: Sequence[Field], take: Take[T], *, json: str | None = None, text: str = ""
    ) -> None:  # fmt: skip
        super().__init__(title, text)
        self._fields, self._take, self._json = tuple(fields), take, json
        self._taking = False

    def asked(self) -> ComposeResult:
        with VerticalScroll(id="form", can_focus=False):
            if self._json is not None:
                yield SafeText("input, as JSON", classes="form-name")
                yield TextArea("\n".join(lines(self._json)), id=_AREA)
            for at, field in enumerate(self._fields):
                star = " *" if field.required else ""
                about = f"   {field.about}" if field.about else ""
                yield SafeText(f"{field.name}{star}{about}", classes="form-name")
                yield Input(
                    safe(field.value), placeholder=field.hint, id=f"field-{at}", compact=True
                )
                yield SafeText("", id=f"fault-{at}", classes="form-fault silent")
        yield SafeText("", id="form-fault", classes="form-fault silent")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.run_worker(self.action_take(), exclusive=True)

    async def action_take(self) -> None:
        if self._taking:
            return
        texts = {field.name: self._text_of(at) for at, field in enumerate(self._fields)}
        values, faults = read_fields(self._fields, texts)
        given: dict[str, Any] | None = None
        if self._json is not None:
            try:
                given = read_object(self.query_one(f"#{_AREA}", TextArea).text)
            except ValueError as error:
                faults[""] = str(error)
        self._show(faults)
        if not faults:
            await self._try(values, given)

    async def _try(self, values: dict[str, Any], given: dict[str, Any] | None) -> None:
        self._taking = True
        try:
            self.dismiss(await self._take(values, given))
        except FlowdaptError as error:
            self._show(faults_of(error, [field.name for field in self._fields]))
        finally:
            self._taking = False

    def _text_of(self, at: int) -> str:
        return self.query_one(f"#field-{at}", Input).value

    def _show(self, faults: Mapping[str, str]) -> None:
        """Write each fault at its field, and the first of them where it is seen at once."""
        first = True
        for at, field in enumerate(self._fields):
            words = faults.get(field.name, "")
            self._tell(f"#fault-{at}", words)
            if words and first:
                self.query_one(f"#field-{at}", Input).focus()
                first = False
        self._tell("#form-fault", faults.get("", ""))

    def _tell(self, place: str, words: str) -> None:
        line = self.query_one(place, SafeText)
        line.show(words)
        line.set_class(not words, "silent")
