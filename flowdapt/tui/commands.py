"""Decide which `:` commands there are and what completes them; the palette offers the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flowdapt.domain.errors import InvalidInput
from flowdapt.tui.names import files_that_begin

__all__ = ["COMMANDS", "Command", "UnknownCommand", "add_command", "complete", "find_command"]

# Words from the app, given what is typed of them already.
Words = Callable[[Any, str], Iterable[str]]


class UnknownCommand(InvalidInput):
    """A word that is no command; the fix names the nearest."""

    code = "command.unknown"


@dataclass(frozen=True, slots=True)
class Command:
    """A command: `key` is the id of a key that does the same, else `method` of the screen or the app.

    A method takes the words after the command. `completes` gives words
    from the app, given what is typed of them.
    """

    name: str
    words: str
    key: str = ""
    method: str = ""
    also: tuple[str, ...] = ()
    argument: str = ""
    completes: Words | None = None


COMMANDS: dict[str, Command] = {}


def add_command(command: Command) -> Command:
    """Register a command; its name is used once."""
    if command.name in COMMANDS:
        raise ValueError(f"there are two commands {command.name!r}")
    COMMANDS[command.name] = command
    return command


def find_command(word: str) -> Command:
    """Return the command of a word, of one of its other names, or of a unique beginning."""
    exact = [one for one in COMMANDS.values() if word == one.name or word in one.also]
    near = exact or [one for one in COMMANDS.values() if one.name.startswith(word)]
    if len(near) == 1 or exact:
        return near[0]
    raise UnknownCommand(f"there is no command {word!r}", fix=_way_on(word, near))


def _way_on(word: str, begun: Iterable[Command]) -> str:
    """Return what may have been meant: what begins so, or what is nearly so."""
    from difflib import get_close_matches

    names = [one.name for one in begun] or get_close_matches(word.lower(), COMMANDS, n=2)
    return (
        f"did you mean {' or '.join(f':{name}' for name in names)}?" if names else "see ? or ctrl+p"
    )


def complete(line: str, app: object) -> list[str]:
    """Return the lines that a half-typed one may become."""
    word, space, rest = line.lstrip().partition(" ")
    if not space:
        return sorted(name for name in COMMANDS if name.startswith(word))
    try:
        command = find_command(word)
    except UnknownCommand:
        return []
    if command.completes is None:
        return []
    return [f"{command.name} {one}" for one in command.completes(app, rest) if one.startswith(rest)]


def _names(kind: str) -> Words:
    return lambda app, _: app.names.of(kind)


_VIEWS: Mapping[str, tuple[str, ...]] = {
    "pulse": ("p",), "workflows": ("wf", "workflow"), "runs": ("run-list",),
    "triggers": ("trigger",), "configs": ("config",), "executors": ("executor",),
    "events": ("event",), "artifacts": ("artifact",), "plugins": ("plugin",), "system": ("sys",),
}  # fmt: skip
for _name, _also in _VIEWS.items():
    add_command(Command(_name, f"show {_name}", key=f"view_{_name}", also=_also))
for _command in (
    Command("quit", "leave; the daemon and its runs go on", key="quit", also=("q", "exit")),
    Command("help", "the keys of this view", key="help"),
    Command("log", "what the TUI did, as commands", key="record"),
    Command("theme", "the next theme, or the one named", key="theme", argument="[NAME]",
            completes=lambda app, _: app.theme_names),
    Command("readonly", "allow or forbid changes", key="read_only"),
    Command("filter", "filter this list", method="act_filter", argument="[WORDS]"),
    Command("export", "write what is shown to a file", key="export"),
    Command("refresh", "read everything again", key="refresh"),
    Command("line", "go to a line of a log", method="act_line", argument="NUMBER"),
    Command("run", "start a run of a workflow", method="act_run_named", argument="[WORKFLOW]",
            completes=_names("workflow")),
    Command("show", "look at a run", method="act_show_run", argument="[RUN]", completes=_names("run")),
    Command("logs", "what the stages of a run said", method="act_logs_of", argument="[RUN]",
            completes=_names("run")),
    Command("why", "why a run is as it is, and the way out", method="act_why_named", argument="[RUN]",
            completes=_names("run")),
    Command("retry", "a new run from what failed", method="act_retry_named", argument="[RUN]",
            completes=_names("ended run")),
    Command("cancel", "stop a run; asks first", method="act_cancel_named", argument="[RUN]",
            completes=_names("open run")),
    Command("fire", "fire a rule by hand; asks first", method="act_fire_named", argument="[RULE]",
            completes=_names("trigger")),
    Command("use", "check an executor and switch to it", method="act_use_named", argument="[EXECUTOR]",
            completes=_names("executor")),
    Command("apply", "store the documents of a file", method="act_apply_file", argument="[FILE]",
            completes=lambda _, text: files_that_begin(text)),
):  # fmt: skip
    add_command(_command)
