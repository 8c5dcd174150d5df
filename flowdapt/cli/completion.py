"""Decide what the shell completes: commands, options, kinds, and names that the daemon knows.

The scripts call `flowdapt __complete WORDS…`, which prints one candidate a line and never fails.
A daemon is asked when one runs, and is never started for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Literal, get_args, get_origin

from flowdapt.cli.commands import ENTRIES, find_entry
from flowdapt.cli.grammar import FORMATS, Arg, Command, Commands, Opt, mark_of
from flowdapt.cli.kinds import KIND_WORDS
from flowdapt.cli.reading import FIRE_STATES, RUN_STATES
from flowdapt.cli.screen import Screen
from flowdapt.cli.session import Common, Session
from flowdapt.client.endpoints import artifacts, executors, resources, runs, system
from flowdapt.client.wire import Call
from flowdapt.domain.executor_names import BACK

commands = Commands()
Shell = Literal["bash", "zsh", "fish"]
_PATIENCE_S = 0.5

_SCRIPTS: Mapping[str, str] = {
    "bash": """\
_flowdapt() {
    local IFS=$'\\n'
    COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _flowdapt flowdapt flowctl
""",
    "zsh": """\
#compdef flowdapt flowctl
_flowdapt() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _flowdapt flowdapt flowctl
""",
    "fish": """\
function __flowdapt
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c flowdapt -a '(__flowdapt)'
complete -c flowctl -a '(__flowdapt)'
""",
}
_WHERE: Mapping[str, str] = {
    "bash": "flowdapt completion bash > ~/.local/share/bash-completion/completions/flowdapt",
    "zsh": "flowdapt completion zsh > ~/.zfunc/_flowdapt   (with ~/.zfunc in fpath)",
    "fish": "flowdapt completion fish > ~/.config/fish/completions/flowdapt.fish",
}


@commands.add("completion")
def completion(
    session: Session, shell: Annotated[Shell, Arg("bash, zsh or fish", "SHELL")]
) -> None:
    """Print the completion script of a shell."""
    session.screen.ready(_SCRIPTS[shell])
    if sys.stdout.isatty():
        session.screen.flush()
        session.screen.note(f"# to keep it:  {_WHERE[shell]}", "dim")


def answer(words: Sequence[str], load: Callable[[str], Commands]) -> int:
    """Print what may stand in the place of the last word."""
    try:
        for one in candidates(words, load):
            sys.stdout.write(f"{one}\n")
    except Exception:
        # A shell asks at every key: whatever is wrong, it gets no candidates and no noise.
        return 0
    return 0


def candidates(words: Sequence[str], load: Callable[[str], Commands]) -> list[str]:
    """Return the candidates that begin as the last word does."""
    *before, last = words or [""]
    return sorted({one for one in _offered(before, last, load) if one.startswith(last)})


def _offered(before: list[str], last: str, load: Callable[[str], Commands]) -> Iterable[str]:
    if not before:
        return [entry.name for entry in ENTRIES]
    entry = find_entry(before[0])
    if entry is None:
        return []
    known = load(entry.module)
    if not entry.group:
        return _of_command(known.by_name[entry.name], before[1:], last)
    if len(before) == 1:
        return list(known.by_name)
    command = known.by_name.get(before[1])
    return [] if command is None else _of_command(command, before[2:], last)


def _of_command(command: Command, before: list[str], last: str) -> Iterable[str]:
    options = _options(command)
    if before and before[-1] in options:
        value = options[before[-1]]
        if value is not None:
            return value(before)
    if last.startswith("-"):
        return list(options)
    typed = [
        word for place, word in enumerate(before) if not _belongs_to_option(before, place, options)
    ]
    arguments = [one for one in command.parameters if isinstance(mark_of(one.annotation)[1], Arg)]
    if not arguments:
        return []
    kind, mark = mark_of(arguments[min(len(typed), len(arguments) - 1)].annotation)
    return _values(kind, mark)(typed)


Offer = Callable[[Sequence[str]], Iterable[str]]


def _options(command: Command) -> dict[str, Offer | None]:
    """Return every option; None where it takes no value."""
    found: dict[str, Offer | None] = {
        "-o": lambda _: FORMATS, "--output": lambda _: FORMATS,
        "-s": lambda _: (), "--server": lambda _: (), "-n": lambda _: (), "--namespace": lambda _: (),
        "--request-timeout": lambda _: (),
    }  # fmt: skip
    found |= dict.fromkeys(("--yes", "--quiet", "--verbose", "--no-color", "--help"))
    for parameter in command.parameters:
        kind, mark = mark_of(parameter.annotation)
        if isinstance(mark, Opt):
            offer = None if kind is bool else _values(kind, mark)
            found |= dict.fromkeys(mark.names.split(), offer)
    return found


def _belongs_to_option(
    words: Sequence[str], place: int, options: Mapping[str, Offer | None]
) -> bool:
    before = words[place - 1] if place else ""
    return words[place].startswith("-") or options.get(before) is not None


def _values(kind: Any, mark: Arg | Opt) -> Offer:
    if get_origin(kind) is Literal:
        return lambda _: get_args(kind)
    return _offer(mark.offers or "")


def _offer(what: str) -> Offer:
    return _OFFERS.get(what, _nothing)


def _nothing(_: Sequence[str]) -> Iterable[str]:
    return ()


def _asked(call: Call[Any], name: Callable[[Any], str]) -> Iterator[str]:
    session = Session(
        Common(request_timeout=_PATIENCE_S, quiet=True), Screen(sys.stdout, sys.stderr)
    )
    session.may_start = False
    for row in session.ask(call)["items"]:
        yield name(row)


def _own_name(row: Any) -> str:
    return str(row.get("metadata", row)["name"])


def _names_of(words: Sequence[str]) -> Iterable[str]:
    """Offer names of the kind that was typed before."""
    kind = KIND_WORDS.get(words[0], "") if words else ""
    if kind in resources.PATHS:
        return _asked(resources.list_(kind, limit=200), _own_name)
    return _offer(kind)(words)


def _kinds_of_executors() -> Iterator[str]:
    """Offer what plugins provide as `executor:KIND`; the local one is there once and for all."""
    for provided in _asked(system.plugins(), lambda row: " ".join(row.get("provides") or ())):
        yield from (
            word.removeprefix("executor:")
            for word in provided.split()
            if word.startswith("executor:") and word != "executor:local"
        )


_OFFERS: dict[str, Offer] = {
    "kind": lambda _: KIND_WORDS,
    "resource-kind": lambda _: resources.PATHS,
    "name": _names_of,
    "state": lambda _: RUN_STATES,
    "method": lambda _: ("GET", "POST", "PUT", "PATCH", "DELETE"),
    "workflow": lambda _: _asked(resources.list_("workflow", limit=200), _own_name),
    "run": lambda _: _asked(runs.list_(limit=50), _own_name),
    "artifact": lambda _: _asked(artifacts.list_(), _own_name),
    "trigger_rule": lambda _: _asked(resources.list_("trigger_rule", limit=200), _own_name),
    "fire-state": lambda _: FIRE_STATES,
    "executor": lambda _: _asked(executors.list_(), _own_name),
    "usable": lambda _: chain((BACK,), _asked(executors.list_(), _own_name)),
    "executor-kind": lambda _: _kinds_of_executors(),
    "secret": lambda _: _asked(system.list_secrets(), _own_name),
}
