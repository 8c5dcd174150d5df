"""Decide which keys there are: id, default key, words. Footer, `?`, bindings and remapping read this.

A key does `act_ID` of the screen, or of the app; whether it may just now is `why_not` of the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.binding import Binding, BindingType

__all__ = ["EVERYWHERE", "KEYS", "Key", "bindings", "key_of", "shown_key", "wrong_keys"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key. `changes` ones are off in read-only mode and without a connection."""

    id: str
    keys: str
    words: str
    help: str = ""
    changes: bool = False
    needs_daemon: bool = False
    footer: bool = True

    @property
    def method(self) -> str:
        return f"act_{self.id}"


def _key(id_: str, keys: str, words: str, help_: str = "", flags: str = "") -> Key:
    """Make a key; flags: c changes something, d needs the daemon, h hidden in the footer."""
    return Key(
        id_, keys, words, help_, "c" in flags, bool({"c", "d"} & set(flags)), "h" not in flags
    )


_ALL = (
    # Everywhere.
    _key("help", "question_mark", "help", "the keys of this view, and why one is off"),
    _key("command", "colon", "command", "type a command; tab completes"),
    _key("palette", "ctrl+p", "palette", "find a command by its words", "h"),
    _key("record", "ctrl+l", "CLI", "what the TUI did, as commands", "h"),
    _key("back", "escape", "back", "close, or go back"),
    _key("quit", "q,ctrl+q,ctrl+c", "quit", "leave; the daemon and its runs go on", "h"),
    _key("read_only", "exclamation_mark", "read-only", "allow or forbid changes", "h"),
    _key("theme", "T", "theme", "the next theme", "h"),
    _key("zoom", "z", "zoom", "hide and show all but the main pane", "h"),
    _key("export", "ctrl+s", "export", "write what is shown to a file", "h"),
    _key("switch_executor", "at", "executor", "choose the active executor", "ch"),
    # Views.
    _key("view_pulse", "1", "pulse", "", "h"),
    _key("view_workflows", "2", "workflows", "", "h"),
    _key("view_runs", "3", "runs", "", "h"),
    _key("view_triggers", "4", "triggers", "", "h"),
    _key("view_configs", "5", "configs", "", "h"),
    _key("view_executors", "6", "executors", "", "h"),
    _key("view_events", "7", "events", "", "h"),
    _key("view_artifacts", "8", "artifacts", "", "h"),
    _key("view_plugins", "9", "plugins", "", "h"),
    _key("view_system", "0", "system", "", "h"),
    # Lists.
    _key("down", "j,down", "down", "one row down", "h"),
    _key("up", "k,up", "up", "one row up", "h"),
    _key("page_down", "pagedown,ctrl+f", "page down", "", "h"),
    _key("page_up", "pageup,ctrl+b", "page up", "", "h"),
    _key("top", "g,home", "top", "the first row", "h"),
    _key("bottom", "G,end", "bottom", "the last row that is loaded", "h"),
    _key("open", "enter", "open", "look into it"),
    _key("filter", "slash", "filter", "state=failed wf~now since=2d, or any text"),
    _key("sort", "s", "sort", "by the next column that can be sorted"),
    _key("mark", "space", "mark", "mark it, and go on to the next"),
    _key("mark_all", "ctrl+a", "mark all", "mark all rows shown, or none", "h"),
    _key("copy", "y", "copy id", "copy to the clipboard", "h"),
    _key("copy_yaml", "Y", "copy YAML", "copy the whole document", "h"),
    _key("refresh", "ctrl+r,f5", "read again", "", "dh"),
    _key("start", "S", "start the daemon", "where there is none"),
    # What one does to a thing.
    _key("describe", "d", "describe", "everything about it"),
    _key("logs", "l", "logs", "what its stages said", "d"),
    _key("run", "r", "run …", "start a run, with a form for its input", "c"),
    _key("retry", "R", "retry …", "a new run from what failed, input to be edited", "c"),
    _key("cancel", "x", "cancel", "stop it; asks first", "c"),
    _key("why", "w", "why", "why it is as it is, and the way out", "d"),
    _key("edit", "e", "edit", "in $EDITOR, then the difference, then it counts", "c"),
    _key("diff", "equals_sign", "diff", "what changed between revisions", "dh"),
    _key("apply", "a", "apply …", "store documents from a file", "ch"),
    _key("delete", "D", "delete", "asks; the name is typed when it is many", "ch"),
    _key("pause", "p", "pause", "pause or resume the rule", "c"),
    _key("hold", "p", "hold", "hold the list still, or let it go on"),
    _key("save", "S", "save …", "write it to a file", "d"),
    _key("check", "c", "check-up", "look at the store and its files", "d"),
    _key("backup", "b", "back up", "write a checked copy of the database", "c"),
    _key("drain", "x", "stop", "stop the daemon in order; asks first", "c"),
    _key("fire", "f", "fire", "fire the rule by hand; asks first", "c"),
    _key("test", "t", "test …", "try the rule on a past event", "d"),
    # One run.
    _key("next_tab", "tab,right_square_bracket", "next tab", "what else there is of the run"),
    _key("previous_tab", "shift+tab,left_square_bracket", "previous tab", "", "h"),
    _key("left", "left", "left", "to what comes before, or to the start of long lines", "h"),
    _key("right", "right", "right", "to what comes after, or on in long lines", "h"),
    _key("zoom_in", "plus", "larger", "a shorter time in more detail", "h"),
    _key("zoom_out", "minus", "smaller", "a longer time in less detail", "h"),
    _key("find", "slash", "find", "a regular expression, in all lines of the log"),
    _key("next_hit", "n", "next", "the next line that matches"),
    _key("previous_hit", "N", "previous", "the line before that matches", "h"),
    _key("follow", "F", "follow", "stay at the end as lines come; scrolling up lets go"),
    _key("narrow", "f", "narrow …", "to one stage, or to items in one state"),
    _key("level", "v", "level", "only lines of this level and above"),
    _key("context", "C", "matches", "only lines that match, alone or with lines around them", "h"),
    _key("attempt", "P", "attempt …", "what an earlier attempt of the stage said", "h"),
    _key("trace", "t", "traceback", "all of it, or the frames of your code"),
    _key("parent", "p", "parent", "the run that this one was made from", "dh"),
    _key("use", "u", "use", "make it the active executor; checks first", "c"),
)
KEYS: Mapping[str, Key] = {key.id: key for key in _ALL}

EVERYWHERE = tuple(key.id for key in _ALL[: [key.id for key in _ALL].index("down")])


def key_of(id_: str) -> Key:
    return KEYS[id_]


def bindings(ids: Iterable[str]) -> list[BindingType]:
    """Return Textual's bindings of keys, for `BINDINGS`; the keymap replaces keys by id."""
    return [
        Binding(key.keys, f"act('{key.id}')", key.words, show=key.footer, id=key.id)
        for key in (KEYS[id_] for id_ in ids)
    ]


_NAMES = {
    "question_mark": "?", "colon": ":", "slash": "/", "exclamation_mark": "!", "at": "@",
    "equals_sign": "=", "escape": "esc", "space": "space", "enter": "enter", "pagedown": "pgdn",
    "pageup": "pgup", "down": "↓", "up": "↑", "left": "←", "right": "→", "plus": "+", "minus": "-",
    "left_square_bracket": "[", "right_square_bracket": "]",
}  # fmt: skip


def shown_key(keys: str, *, every: bool = False) -> str:
    """Return keys as a person knows them: `?`, `ctrl+l`, or with `every` all of `j ↓`."""
    names = [_NAMES.get(one.strip(), one.strip()) for one in keys.split(",")]
    return " ".join(names) if every else names[0]


def wrong_keys(keymap: Mapping[str, str]) -> list[str]:
    """Return what is wrong with a keymap of the settings, in words: unknown ids, keys given twice."""
    wrong = [f"tui.keys: there is no key {id_!r}" for id_ in keymap if id_ not in KEYS]
    taken: dict[str, str] = {}
    for id_, keys in keymap.items():
        for one in keys.split(","):
            if one in taken:
                wrong.append(f"tui.keys: {one!r} is given to {taken[one]} and to {id_}")
            taken[one] = id_
    return wrong
