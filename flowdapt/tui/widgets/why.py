"""A dialog that says why something is as it is, in words, with the way out of each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from flowdapt.domain.run import Reason
from flowdapt.tui.widgets.dialogs import Notice
from flowdapt.tui.widgets.safe import SafeText, lines

__all__ = ["Why"]


class Why(Notice):
    """Reasons, as `/explain` gives them, or plain sentences."""

    def __init__(self, title: str, reasons: Sequence[Reason | str]) -> None:
        super().__init__(title)
        self._reasons = tuple(reasons)

    def asked(self) -> ComposeResult:
        with VerticalScroll(id="dialog-text", can_focus=False):
            yield SafeText(self._told())

    def _told(self) -> Text:
        told: list[Text] = []
        for reason in self._reasons:
            if isinstance(reason, str):
                told.extend(Text(one) for one in lines(reason))
                continue
            for at, one in enumerate(lines(reason.message)):
                subject = " ".join(lines(reason.subject))
                head = "    " if at else f"{subject}: " if subject else ""
                told.append(Text.assemble((head, "bold"), one))
            if reason.fix:
                told.extend(Text(f"    fix: {one}", "dim") for one in lines(reason.fix))
        return Text("\n").join(told) if told else Text("nothing holds it")
