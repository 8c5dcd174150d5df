"""Decide how a command's function becomes a parser: its annotations say what may be typed.

On argparse, which is there in six milliseconds. A function takes a Session first; parameters with
`Opt` are options, the others are words in their order.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin

from flowdapt.cli.reading import duration_s
from flowdapt.cli.usage import UsageProblem, closest

__all__ = [
    "FORMATS",
    "Arg",
    "Command",
    "Commands",
    "Opt",
    "Parser",
    "mark_of",
    "option_names",
    "parse",
]

F = TypeVar("F", bound=Callable[..., "int | None"])
FORMATS = ("table", "wide", "json", "jsonl", "yaml", "name")


@dataclass(frozen=True, slots=True)
class Arg:
    """A word of a command. `offers` names what the shell completes there."""

    help: str
    metavar: str | None = None
    offers: str | None = None
    parse: Callable[[str], Any] | None = None


@dataclass(frozen=True, slots=True)
class Opt:
    """An option of a command; `names` are separated by spaces."""

    names: str
    help: str
    metavar: str | None = None
    offers: str | None = None
    parse: Callable[[str], Any] | None = None


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help in two columns, an option's value named once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, (action.metavar and str(action.metavar)) or "VALUE")
        return f"{', '.join(action.option_strings)} {value}"


class Parser(argparse.ArgumentParser):
    """A parser that raises what is wrong in place of ending the program."""

    def error(self, message: str) -> NoReturn:
        raise UsageProblem(message, fix=f"{self.prog} --help")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its function, and how its words are read.

    A parameter without a mark is not read from words: an open-ended command gets `unknown`.
    """

    name: str
    run: Callable[..., int | None]
    summary: str
    # Unknown `--key value` pairs are the command's own (the input of a run).
    open_ended: bool = False
    epilog: str = ""

    @property
    def parameters(self) -> list[inspect.Parameter]:
        found = list(inspect.signature(self.run, eval_str=True).parameters.values())[1:]
        return [one for one in found if get_origin(one.annotation) is Annotated]

    def parser(self, prog: str) -> Parser:
        parser = Parser(
            prog=prog,
            description=inspect.getdoc(self.run) or self.summary,
            epilog=self.epilog or None,
            formatter_class=_Help,
            allow_abbrev=False,
            add_help=False,
        )
        for parameter in self.parameters:
            _add(parser, parameter)
        _add_common(parser)
        return parser


@dataclass(slots=True)
class Commands:
    """The commands of one module, by name."""

    by_name: dict[str, Command] = field(default_factory=dict)

    def add(self, name: str, *, open_ended: bool = False, epilog: str = "") -> Callable[[F], F]:
        def register(function: F) -> F:
            summary = (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
            self.by_name[name] = Command(name, function, summary, open_ended, epilog)
            return function

        return register


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command."""
    group = parser.add_argument_group("options of every command")
    group.add_argument(
        "-o", "--output", "--format", choices=FORMATS, metavar="FORM", help=", ".join(FORMATS)
    )
    group.add_argument("-s", "--server", metavar="ADDRESS", help="socket path or URL of the daemon")
    # A command may have a use of its own for the short form.
    names = [name for name in ("-n", "--namespace") if name not in option_names(parser)]
    group.add_argument(*names, metavar="NAME", help="namespace of runs and artifacts")
    group.add_argument(
        "--request-timeout", type=duration_s, metavar="TIME", help="patience with one request"
    )
    group.add_argument("-y", "--yes", action="store_true", help="answer every question with yes")
    group.add_argument("-q", "--quiet", action="store_true", help="print data and errors only")
    group.add_argument("-v", "--verbose", action="store_true", help="tell more; show tracebacks")
    group.add_argument("--no-color", action="store_true", help="no colours (so does NO_COLOR)")
    group.add_argument("-h", "--help", action="help", help="print this help")


def parse(command: Command, prog: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the values that were typed, by parameter name; common options among them."""
    parser = command.parser(prog)
    given, unknown = parser.parse_known_intermixed_args(list(_joined(words)))
    values = vars(given)
    if command.open_ended:
        values["unknown"] = unknown
    elif unknown:
        raise _not_known(parser, unknown[0])
    return values


def _joined(words: Sequence[str]) -> Iterator[str]:
    """Yield the words; `--sort -created` as one, which argparse takes for two options."""
    rest = iter(words)
    for word in rest:
        follower = next(rest, None) if word == "--sort" else None
        yield word if follower is None else f"{word}={follower}"


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    return [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001 - argparse has no public list


def _not_known(parser: Parser, word: str) -> UsageProblem:
    name = word.partition("=")[0]
    if name.startswith("-"):
        near = closest(name, option_names(parser))
        return UsageProblem(
            f"there is no option {name!r} here", suggestion=near, fix=f"{parser.prog} --help"
        )
    return UsageProblem(f"{word!r} is one word too many", fix=f"{parser.prog} --help")


def _add(parser: argparse.ArgumentParser, parameter: inspect.Parameter) -> None:
    kind, mark = mark_of(parameter.annotation)
    required = parameter.default is parameter.empty
    default = None if required else parameter.default
    options: dict[str, Any] = {"help": mark.help, "default": default}
    if isinstance(mark, Opt):
        # argparse makes the --no- forms itself.
        names = [name for name in mark.names.split() if not name.startswith("--no-")]
        options |= {"dest": parameter.name, "required": required, **_option(kind, mark)}
        parser.add_argument(*names, **options)
    else:
        metavar = mark.metavar or parameter.name.upper()
        options |= {"metavar": metavar, **_word(kind, mark, required)}
        parser.add_argument(parameter.name, **options)


def mark_of(annotation: Any) -> tuple[Any, Arg | Opt]:
    """Return the plain type (None taken off) and the mark of an Annotated parameter."""
    assert get_origin(annotation) is Annotated, annotation
    kind, mark = get_args(annotation)[:2]
    parts = [part for part in get_args(kind) if part is not type(None)]
    if type(None) in get_args(kind) and len(parts) == 1:
        kind = parts[0]
    return kind, mark


def _option(kind: Any, mark: Opt) -> dict[str, Any]:
    if kind is bool:
        if "--no-" in mark.names:
            return {"action": argparse.BooleanOptionalAction}
        return {"action": "store_true"}
    if get_origin(kind) is list:
        return {"action": "append", "metavar": mark.metavar, "type": mark.parse or str}
    return {"metavar": mark.metavar, **_scalar(kind, mark)}


def _word(kind: Any, mark: Arg, required: bool) -> dict[str, Any]:
    if get_origin(kind) is list:
        return {"nargs": "+" if required else "*", "type": mark.parse or str}
    found = _scalar(kind, mark)
    return found if required else {"nargs": "?", **found}


def _scalar(kind: Any, mark: Arg | Opt) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    return {"type": mark.parse or kind}
