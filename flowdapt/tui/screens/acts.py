"""`ctrl+l`: what the TUI did, as the commands that do the same, newest last."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from flowdapt.tui.record import Record
from flowdapt.tui.widgets.dialogs import Notice

__all__ = ["Acts"]


class Acts(Notice):
    """The record of this TUI."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "copy", "copy")]
    hint = "y copy all   esc close"

    def __init__(self, record: Record) -> None:
        told = [
            f"{act.at:%H:%M:%S}  {act.command}" + (f"   # {act.outcome}" if act.outcome else "")
            for act in record.acts
        ]
        super().__init__(
            "What was done here, as commands", "\n".join(told) or "Nothing was done yet."
        )
        self._commands = "\n".join(act.command for act in record.acts)

    def action_copy(self) -> None:
        self.app.copy(self._commands)  # type: ignore[attr-defined]  # the only app this is in
