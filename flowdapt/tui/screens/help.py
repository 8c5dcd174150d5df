"""`?`: the keys of the view in sight, what each does, its id for remapping, and why one is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from flowdapt.tui.keys import EVERYWHERE, Key, shown_key
from flowdapt.tui.screens.view import LIST_KEYS
from flowdapt.tui.widgets.dialogs import Notice
from flowdapt.tui.widgets.safe import line

if TYPE_CHECKING:
    from flowdapt.tui.app import FlowdaptApp
    from flowdapt.tui.screens.view import View

__all__ = ["KeyList"]


class KeyList(Notice):
    """The keys in three groups."""

    def __init__(self, view: View) -> None:
        super().__init__(f"Keys of {view.title_words}", _told(view))


def _told(view: View) -> Text:
    lists = [key for key in view.keys if key.id in LIST_KEYS and view.table is not None]
    own = [key for key in view.keys if key.id not in {*LIST_KEYS, *EVERYWHERE}]
    always = [key for key in view.keys if key.id in EVERYWHERE]
    made = Text(no_wrap=True, overflow="ellipsis")
    groups: Sequence[tuple[str, list[Key]]] = (
        ("Here", own),
        ("In lists", lists),
        ("Everywhere", always),
    )
    for title, keys in groups:
        shown = [key for key in keys if view.method_of(key) is not None]
        if shown:
            made.append(f"{title}\n", f"bold {view.desk.colour('head')}")
            for key in shown:
                made.append_text(_row(view, key))
                made.append("\n")
            made.append("\n")
    made.rstrip()
    return made


def _row(view: View, key: Key) -> Text:
    """Return a key: what it does, or why it does nothing just now, and its name for remapping."""
    app: FlowdaptApp = view.desk
    off = view.why_not(key)
    name = shown_key(app.keymap_of(key), every=True)
    told = f"   off: {off}" if off else f": {key.help}" if key.help else ""
    return line(
        [
            (f"  {name:<17}", f"bold {app.colour('dim' if off else 'key')}"),
            (key.words, app.colour("dim") if off else ""),
            (told, app.colour("warn") if off else ""),
            (f"   [{key.id}]", app.colour("dim")),
        ]
    )
