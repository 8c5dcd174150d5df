"""Whether a `flowdapt …` that a text shows is one that the command line understands."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from typing import TYPE_CHECKING

from flowdapt.cli.commands import ENTRIES, find_entry
from flowdapt.cli.grammar import parse
from flowdapt.cli.usage import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.cli.commands import Entry
    from flowdapt.cli.grammar import Command, Commands

PROGRAMS = ("flowdapt", "flowctl")
ALONE = ("--help", "--version")


def calls_in(line: str) -> Iterator[list[str]]:
    """Yield the words after `flowdapt` of every call in a line of shell."""
    for part in re.split(r"&&|\|\||[|;()]|\$\(", line):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:
            # The other half of a quoted part: the quotes do not belong to a call of ours.
            words = part.replace('"', " ").split()
        if words and words[0] in PROGRAMS:
            yield [word for word in words[1:] if word not in {">", "<"}]


def fault_of_call(words: list[str]) -> str | None:
    """Say what the command line would refuse of these words, without running anything."""
    if not words or words[0] in ALONE:
        return None
    command, rest, prog = find_command(words)
    if command is None:
        return f"there is no {prog}"
    try:
        parse(command, prog, rest)
    except UsageProblem as problem:
        return f"{prog}: {problem.message}"
    return None


def fault_of_mention(words: list[str]) -> str | None:
    """Say whether a mention names no command; what stands for words may be left out."""
    if not words or words[0].startswith(("-", "…")) or words[0].isupper():
        return None
    entry = find_entry(words[0])
    if entry is None:
        return f"there is no flowdapt {words[0]}"
    if not entry.group or len(words) < 2 or not re.fullmatch(r"[a-z]+", words[1]):
        return None
    known = commands_of(entry).by_name
    return None if words[1] in known else f"there is no flowdapt {entry.name} {words[1]}"


def find_command(words: list[str]) -> tuple[Command | None, list[str], str]:
    entry = find_entry(words[0])
    if entry is None:
        return None, [], f"flowdapt {words[0]}"
    commands = commands_of(entry).by_name
    if not entry.group:
        return commands.get(entry.name), words[1:], f"flowdapt {entry.name}"
    prog = f"flowdapt {' '.join(words[:2])}"
    return (commands.get(words[1]) if words[1:] else None), words[2:], prog


def commands_of(entry: Entry) -> Commands:
    commands: Commands = import_module(f"flowdapt.cli.{entry.module}").commands
    return commands


def every_command() -> Iterator[tuple[Entry, Command]]:
    """Yield each command with its entry, in the order of `flowdapt --help`."""
    for entry in ENTRIES:
        found = commands_of(entry).by_name
        for command in found.values() if entry.group else [found[entry.name]]:
            yield entry, command
