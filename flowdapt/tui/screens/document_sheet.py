"""A page about one document: what it is called says which one every key means."""

from __future__ import annotations

from flowdapt.tui.screens.actions.documents import DocumentActions
from flowdapt.tui.screens.sheet import Sheet

__all__ = ["DocumentSheet"]


class DocumentSheet(DocumentActions, Sheet):
    """A `Sheet` about the document `name_shown` of `document_kind`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name_shown = name

    @property
    def heading(self) -> str:
        return self.name_shown

    def chosen_documents(self) -> list[str]:
        return [self.name_shown]

    def act_copy(self) -> None:
        self.desk.copy(self.name_shown)
