"""Tables of the reference that are made from the code, so that they cannot drift from it.

A page holds `<!-- table: NAME -->` … `<!-- end -->`; `python -m tests.docs.tables` writes what lies
between, and a test compares. Words come from the docstrings and help texts of the code.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from flowdapt import embedded, testing
from flowdapt.api.app import openapi_document
from flowdapt.api.problems import status_of
from flowdapt.cli.main import exit_code_of
from flowdapt.client import Client
from flowdapt.client.events import Events
from flowdapt.client.executors import Executors
from flowdapt.client.parts import Artifacts, Resources, Runs, Secrets, Triggers
from flowdapt.domain import errors
from flowdapt.domain.quantities import parse_duration_s, parse_size_bytes
from flowdapt.domain.run import RUN_TRANSITIONS, STAGE_TRANSITIONS, RunState, StageState
from flowdapt.plugins import hookspecs
from flowdapt.plugins.bridge.options import ClusterOptions
from flowdapt.plugins.executors.dask.options import DaskOptions
from flowdapt.plugins.executors.ray.options import RayOptions
from flowdapt.runtime import artifacts, objects
from flowdapt.runtime.context import RunContext
from flowdapt.settings import Settings
from flowdapt.stores import profile_rows, trigger_rows
from flowdapt.stores import rows as run_rows
from flowdapt.tui.commands import COMMANDS
from flowdapt.tui.keys import KEYS, shown_key
from flowdapt.tui.model.query import FILTER_WORDS
from tests.docs.codes import error_classes, exact_codes
from tests.docs.commands import every_command
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import ModuleType

    from pydantic.fields import FieldInfo

    from flowdapt.cli.commands import Entry
    from flowdapt.cli.grammar import Command

_READ_BY_STAGES = (
    "input", "config", "definition", "run", "task_key", "secrets", "cancelled", "logger", "progress", "metric",
)  # fmt: skip
S = TypeVar("S", RunState, StageState)
REFERENCE = ROOT / "docs" / "reference"
_PLACE = re.compile(
    r"(?P<open><!-- table: (?P<name>[a-z-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL
)


def filled(text: str) -> str:
    """Return the page with every table as the code has it now; an unknown name is a KeyError."""
    return _PLACE.sub(lambda m: f"{m['open']}\n{TABLES[m['name']]()}\n\n{m['close']}", text)


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(headings)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def first_sentence(text: str | None) -> str:
    return _cell((text or "").strip().split("\n\n")[0])


def run_states() -> str:
    return _transitions(RunState, RUN_TRANSITIONS)


def stage_states() -> str:
    return _transitions(StageState, STAGE_TRANSITIONS)


def _transitions(states: Iterable[S], allowed: Mapping[S, frozenset[S]]) -> str:
    order = list(states)
    rows = (
        (
            f"`{state}`",
            ", ".join(f"`{new}`" for new in order if new in allowed[state]) or "— (terminal)",
        )
        for state in order
    )
    return table(("From", "To"), rows)


def error_codes() -> str:
    rows = (
        (
            f"`{error.code}`",
            f"`{error.__name__}`",
            str(status_of(error("")) if _has_status(error) else "—"),
            str(exit_code_of(error(""))),
            first_sentence(error.__doc__),
        )
        for error in sorted(error_classes(), key=lambda error: error.code)
    )
    return table(("Code", "Class", "HTTP", "Exit", "Means"), rows)


def _has_status(error: type[errors.FlowdaptError]) -> bool:
    """What keeps a daemon from starting, and what is found at the client, is never an answer."""
    return not issubclass(error, errors.StartRefused | errors.Unreachable | errors.NonRetryable)


def exact(kind: str) -> str:
    rows = ((f"`{c.code}`", c.message, c.fix) for c in exact_codes() if c.kind == kind)
    return table(("Code", "Says", "Way out"), rows)


def settings() -> str:
    return table(("Setting", "Default", "Means"), _settings(Settings, ""))


def _settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _settings(field.annotation, f"{prefix}{name}.")
        else:
            yield f"`{prefix}{name}`", _default(field), field.description or ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    parsers = {getattr(one, "func", None) for one in field.metadata}
    if value in (None, "", (), {}):
        return "—"
    if parse_size_bytes in parsers and value:
        return f"`{_in_units(value, (('GiB', 1024**3), ('MiB', 1024**2), ('KiB', 1024)))}`"
    if parse_duration_s in parsers and value:
        return f"`{_in_units(value, (('d', 86400), ('h', 3600), ('m', 60), ('s', 1)))}`"
    return f"`{json.dumps(value)}`"


def _in_units(value: float, units: Iterable[tuple[str, int]]) -> str:
    return next(f"{value / size:g}{unit}" for unit, size in units if value % size == 0)


def cli_commands() -> str:
    rows = ((f"`{_usage(entry, command)}`", command.summary) for entry, command in every_command())
    return table(("Command", "Does"), rows)


def _usage(entry: Entry, command: Command) -> str:
    names = f"{entry.name} {command.name}" if entry.group else entry.name
    words = [
        (action.metavar or action.dest) if action.required else f"[{action.metavar or action.dest}]"
        for action in _actions(command.parser("flowdapt"))
        if not action.option_strings
    ]
    return " ".join(["flowdapt", names, *map(str, words)])


def cli_options() -> str:
    _, command = next(every_command())
    groups = command.parser("flowdapt")._action_groups  # argparse has no public list
    common = next(group for group in groups if "every command" in (group.title or ""))
    rows = ((_option(action), action.help or "") for action in common._group_actions)
    return table(("Option", "Means"), rows)


def _option(action: argparse.Action) -> str:
    value = f" {action.metavar or '|'.join(action.choices or ())}" if action.nargs != 0 else ""
    return f"`{', '.join(action.option_strings)}{value}`"


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # argparse has no public list


def rest_routes() -> str:
    rows = (
        (f"`{method.upper()} {path}`", first_sentence(call.get("description") or call["summary"]))
        for path, calls in openapi_document()["paths"].items()
        for method, call in calls.items()
    )
    return table(("Call", "Does"), rows)


def hooks() -> str:
    rows = ((f"`{name}`", first_sentence(inspect.getdoc(hook))) for name, hook in every_hook())
    return table(("Hook", "Declares"), rows)


def every_hook() -> Iterator[tuple[str, Callable[..., object]]]:
    for name, value in vars(hookspecs).items():
        if name.startswith("flowdapt_") and inspect.isfunction(value):
            yield name, value


def members(owner: object, names: Iterable[str] | None = None, prefix: str = "") -> str:
    """Return the public names of a class or module, with signature and first sentence."""
    chosen = names or [name for name in vars(owner) if not name.startswith("_")]
    rows = [
        (f"`{prefix}{name}{_signature(value)}`", first_sentence(inspect.getdoc(value)))
        for name in chosen
        if callable(value := getattr(owner, name)) or isinstance(value, property)
    ]
    return table(("Name", "Is"), rows)


def _signature(value: object) -> str:
    """Return names and defaults: the types are in the code, and would fill the line."""
    if not callable(value) or isinstance(value, type):
        return ""
    bare = inspect.Parameter.empty
    signature = inspect.signature(value)
    kept = [p.replace(annotation=bare) for p in signature.parameters.values() if p.name != "self"]
    return str(signature.replace(parameters=kept, return_annotation=inspect.Signature.empty))


def _functions(module: ModuleType) -> list[str]:
    return [name for name in module.__all__ if inspect.isfunction(getattr(module, name))]


def client_parts() -> str:
    parts = {
        "runs": Runs,
        "resources": Resources,
        "triggers": Triggers,
        "events": Events,
        "artifacts": Artifacts,
        "secrets": Secrets,
        "executors": Executors,
    }
    rows = [
        line
        for name, part in parts.items()
        for line in members(part, prefix=f"client.{name}.").splitlines()[2:]
    ]
    return "\n".join([*table(("Name", "Is"), []).splitlines(), *rows])


def database() -> str:
    declared = {**vars(run_rows), **vars(trigger_rows), **vars(profile_rows)}
    classes = [one for one in declared.values() if hasattr(one, "__table__")]
    return table(
        ("Table", "Holds", "Columns"),
        (
            (
                f"`{row.__tablename__}`",
                first_sentence(row.__doc__),
                ", ".join(f"`{column.name}`" for column in row.__table__.columns),
            )
            for row in classes
        ),
    )


_OPTION = re.compile(r"^(?P<names>\w+(?:, \w+)*)  +(?P<words>\S.*(?:\n  +\S.*)*)", re.MULTILINE)


def options(model: type[BaseModel]) -> str:
    """Return what the model's own docstring says of its options, with their defaults."""
    told = _OPTION.finditer(inspect.cleandoc(model.__doc__ or ""))
    rows = [
        (
            ", ".join(f"`{name}`" for name in one["names"].split(", ")),
            ", ".join(
                dict.fromkeys(_default(model.model_fields[n]) for n in one["names"].split(", "))
            ),
            one["words"],
        )
        for one in told
    ]
    return table(("Option", "Default", "Means"), rows)


def tui_keys() -> str:
    """Return every key of the workstation, with what it says of itself in `?`."""
    rows = [
        (
            f"`{shown_key(key.keys, every=True)}`",
            key.words + (f": {key.help}" if key.help else ""),
            f"`{key.id}`",
        )
        for key in KEYS.values()
    ]
    return table(("Key", "Does", "Name"), rows)


def tui_commands() -> str:
    rows = [
        (
            f"`:{command.name} {command.argument}`".replace(" `", "`"),
            command.words,
            ", ".join(f"`{one}`" for one in command.also),
        )
        for command in COMMANDS.values()
    ]
    return table(("Command", "Does", "Also"), rows)


def tui_filters() -> str:
    return table(
        ("Word", "Chooses runs by"), [(f"`{word}…`", means) for word, means in FILTER_WORDS.items()]
    )


TABLES: dict[str, Callable[[], str]] = {
    "cluster-options": lambda: options(ClusterOptions),
    "dask-options": lambda: options(DaskOptions),
    "ray-options": lambda: options(RayOptions),
    "tui-keys": tui_keys,
    "tui-commands": tui_commands,
    "tui-filters": tui_filters,
    "run-states": run_states,
    "stage-states": stage_states,
    "error-codes": error_codes,
    "exact-codes": lambda: exact("error"),
    "explanations": lambda: exact("explanation"),
    "findings": lambda: exact("finding"),
    "settings": settings,
    "cli-commands": cli_commands,
    "cli-options": cli_options,
    "rest-routes": rest_routes,
    "hooks": hooks,
    "run-context": lambda: members(RunContext, _READ_BY_STAGES),
    "objects": lambda: members(objects, objects.__all__[1:]),
    "artifacts": lambda: members(artifacts, _functions(artifacts)),
    "artifact": lambda: members(artifacts.Artifact),
    "embedded": lambda: members(embedded, embedded.__all__),
    "client": lambda: members(Client),
    "client-parts": client_parts,
    "database": database,
    "testing": lambda: members(testing, testing.__all__),
}


def main() -> None:
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
