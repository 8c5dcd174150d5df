"""Draw text that nobody vouches for: each control is escaped, no markup is read, width is known.

The one door to the screen: tables, banners, dialogs and previews draw what comes through here.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from rich.text import Text
from textual.visual import VisualType
from textual.widgets import Static

from flowdapt.domain.display import escape_controls

__all__ = ["SafeText", "cut", "fitted", "line", "lines", "safe"]


def safe(text: object) -> str:
    r"""Return the text with what a terminal would obey, hide or reorder shown as `\x1b`."""
    return escape_controls(str(text))


def lines(text: object) -> list[str]:
    """Return the lines of a text, each safe; tabs become spaces."""
    return [safe(one) for one in str(text).expandtabs(4).splitlines()]


def cut(text: object, width: int, more: str = "…") -> str:
    """Return one safe line of at most `width` columns."""
    shown = safe(" ".join(str(text).split()))
    if cell_len(shown) <= width:
        return shown
    return set_cell_size(shown, max(width - len(more), 0)).rstrip() + more if width > 0 else ""


def fitted(text: object, width: int, *, right: bool = False, more: str = "…") -> str:
    """Return one safe line of exactly `width` columns."""
    shown = cut(text, width, more)
    space = " " * max(width - cell_len(shown), 0)
    return space + shown if right else shown + space


def line(parts: Iterable[tuple[object, Style | str | None]]) -> Text:
    """Return a line of pieces with styles; line ends within a piece are shown, not obeyed."""
    made = Text(no_wrap=True, overflow="ellipsis", end="")
    for text, style in parts:
        made.append(safe(text), style or "")
    return made


class SafeText(Static):
    """A text as it is: no markup, no controls. Text that is styled by us is given as Rich `Text`."""

    def __init__(
        self,
        content: str | Text = "",
        *,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(_shown(content), markup=False, id=id, classes=classes)

    def show(self, content: str | Text, *, layout: bool = True) -> None:
        """Draw another text. A `Text` was made by `line`, so its pieces are safe.

        `layout=False` is for a widget whose size does not follow its text: much cheaper.
        """
        self.update(_shown(content), layout=layout)


def _shown(content: str | Text) -> VisualType:
    return content if isinstance(content, Text) else Text("\n".join(lines(content)))
