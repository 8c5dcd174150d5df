"""Decide which command the words mean, and what its end is told to the shell.

Imports only the command that is asked for. Holds the one table from errors to exit codes.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from flowdapt.cli.commands import ENTRIES, Entry, find_entry, overview
from flowdapt.domain import errors

if TYPE_CHECKING:
    from flowdapt.cli.grammar import Command, Commands
    from flowdapt.cli.screen import Screen
    from flowdapt.cli.session import Session

__all__ = ["EXIT_CODES", "exit_code_of", "main"]

FAILED, USAGE, INTERNAL, INTERRUPTED = 1, 2, 70, 130

# The first class that fits, from the most exact to the widest. What `up --foreground` refuses has
# the codes of sysexits.h, so that a supervisor knows whether to try again.
EXIT_CODES: Mapping[type[errors.FlowdaptError], int] = {
    errors.NotFound: 3,
    errors.Conflict: 4,
    errors.InvalidInput: 5,
    errors.TooLarge: 5,
    errors.Denied: 6,
    errors.Unreachable: 7,
    errors.Unavailable: 7,
    errors.QueueFull: 7,
    errors.TimedOut: 8,
    errors.CorruptStore: 65,
    errors.NewerStore: 66,
    errors.AlreadyRunning: 73,
    errors.StoreUnwritable: 74,
    errors.UnsafeDirectory: 77,
    errors.StartRefused: 78,
}
_WITH_VALUE = {
    "-o",
    "--output",
    "--format",
    "-s",
    "--server",
    "-n",
    "--namespace",
    "--request-timeout",
}
# What other programs call it.
_ELSEWHERE = {
    "create": "apply", "list": "get", "ps": "runs ls", "start": "up", "stop": "down",
    "tui": "ui",
}  # fmt: skip
_HELP = {"-h", "--help", "help"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who reads our output has enough; the interpreter must not flush into the void at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def exit_code_of(error: errors.FlowdaptError) -> int:
    """Return the exit code that an error ends a command with."""
    from flowdapt.cli.usage import UsageProblem

    if isinstance(error, UsageProblem):
        return USAGE
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return INTERNAL


def _run(words: list[str]) -> int:
    if words[:1] == ["__complete"]:
        from flowdapt.cli.completion import answer

        return answer(words[1:], _load)
    leading, words = _leading_options(words)
    if not words and sys.stdin.isatty() and sys.stdout.isatty():
        words = ["ui"]
    if not words or words[0] in _HELP:
        if words[1:] and find_entry(words[1]):
            return _run([*words[1:], "--help"])
        sys.stdout.write(overview())
        return 0
    if words[0] in {"--version", "-V"}:
        words[0] = "version"
    return _guarded(leading, words)


def _leading_options(words: list[str]) -> tuple[list[str], list[str]]:
    """Split off the options before the command; they are common ones."""
    place = 0
    while (
        place < len(words)
        and words[place].startswith("-")
        and words[place] not in {*_HELP, "--version", "-V"}
    ):
        place += 2 if words[place] in _WITH_VALUE else 1
    return words[:place], words[place:]


def _guarded(leading: list[str], words: list[str]) -> int:
    from flowdapt.cli.complaint import complain
    from flowdapt.cli.screen import Screen

    every = [*leading, *words]
    screen = Screen.of_this_process(no_color="--no-color" in every)
    verbose = bool({"-v", "--verbose"} & set(every))
    try:
        return _dispatch(screen, leading, words)
    except errors.FlowdaptError as error:
        screen.flush()
        if verbose and not isinstance(error, errors.InvalidInput):
            _traceback()
        complain(screen, error)
        return exit_code_of(error)
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except (OSError, UnicodeEncodeError) as error:
        screen.flush()
        if verbose:
            _traceback()
        told = _of_text(error) if isinstance(error, UnicodeEncodeError) else _of_file(error)
        complain(screen, told)
        return exit_code_of(told)
    except Exception as error:
        screen.flush()
        if verbose:
            _traceback()
        complain(screen, _unforeseen(error))
        return INTERNAL


def _unforeseen(error: Exception) -> errors.FlowdaptError:
    return errors.FlowdaptError(
        f"{type(error).__name__}: {error}", fix="the same command with -v shows where it happened"
    )


def _of_text(error: UnicodeEncodeError) -> errors.FlowdaptError:
    """Return what a word is told as that holds bytes of no letter: nothing can carry it further."""
    from flowdapt.cli.usage import UsageProblem

    return UsageProblem(
        f"{error.object[:80]!r} cannot be sent: it holds {error.object[error.start : error.end]!r}",
        fix="write it as UTF-8; in a path, as %XX",
    )


def _of_file(error: OSError) -> errors.FlowdaptError:
    """Return what a file that the person named is told as; other failures are ours."""
    from flowdapt.cli.usage import UsageProblem

    if error.filename is None or error.strerror is None:
        return _unforeseen(error)
    message = f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return errors.NotFound(message, code="file.missing", fix="look at the path")
    if isinstance(error, PermissionError):
        return errors.Denied(message, fix="choose a place that you may write")
    return UsageProblem(message, fix="choose another path")


def _traceback() -> None:
    import traceback

    from flowdapt.domain.display import escape_controls

    for line in traceback.format_exc().splitlines():
        sys.stderr.write(escape_controls(line) + "\n")


def _dispatch(screen: Screen, leading: list[str], words: list[str]) -> int:
    from flowdapt.cli.grammar import parse

    entry = _entry(words)
    commands = _load(entry.module)
    rest = words[1:]
    prog = f"flowdapt {entry.name}"
    if entry.group:
        between, rest = _leading_options(rest)
        leading = [*leading, *between]
        command, rest = _within(entry, commands, rest)
        prog += f" {command.name}"
    else:
        command = commands.by_name[entry.name]
    values = parse(command, prog, [*leading, *rest])
    session = _session(screen, values)
    code = command.run(session, **values)
    screen.flush()
    return code or 0


def _load(module: str) -> Commands:
    commands: Commands = import_module(f"flowdapt.cli.{module}").commands
    return commands


def _entry(words: Sequence[str]) -> Entry:
    from flowdapt.cli.usage import UsageProblem

    found = find_entry(words[0])
    if found is None:
        near = _meant(words[0])
        fix = shlex.join(["flowdapt", *near.split(), *words[1:]]) if near else "flowdapt --help"
        raise UsageProblem(f"there is no command {words[0]!r}", suggestion=near, fix=fix)
    return found


def _meant(word: str) -> str | None:
    """Return the command that was probably meant, also one of a group: `why` is `runs why`."""
    from flowdapt.cli.usage import closest

    if word in _ELSEWHERE:
        return _ELSEWHERE[word]
    within = next((f"{one.name} {word}" for one in ENTRIES if word in one.members), None)
    return within or closest(word, [name for one in ENTRIES for name in (one.name, *one.also)])


def _within(entry: Entry, commands: Commands, rest: list[str]) -> tuple[Command, list[str]]:
    """Return the command of a group that the next word names."""
    from flowdapt.cli.usage import UsageProblem, closest

    if not rest or rest[0] in _HELP:
        sys.stdout.write(_group_overview(entry, commands))
        raise SystemExit(0 if rest else USAGE)
    command = commands.by_name.get(rest[0])
    if command is None:
        raise UsageProblem(
            f"there is no command {f'{entry.name} {rest[0]}'!r}",
            suggestion=closest(rest[0], commands.by_name),
            fix=f"flowdapt {entry.name} --help",
        )
    return command, rest[1:]


def _group_overview(entry: Entry, commands: Commands) -> str:
    lines = [f"usage: flowdapt {entry.name} COMMAND [OPTIONS]", "", f"{entry.summary}:"]
    lines += [f"  {one.name:<9} {one.summary}" for one in commands.by_name.values()]
    return "\n".join([*lines, "", f"`flowdapt {entry.name} COMMAND --help` says more."]) + "\n"


def _session(screen: Screen, values: dict[str, object]) -> Session:
    """Take the common options out of the values."""
    from flowdapt.cli.session import Common, Session

    names = Common.__dataclass_fields__
    common = Common(**{name: values.pop(name) for name in names})  # type: ignore[arg-type]  # argparse knows no types
    screen.quiet = common.quiet
    return Session(common, screen)
