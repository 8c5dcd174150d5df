"""Tables of the reference that are made from the code, so that they cannot drift from it.

A page holds `<!-- table: NAME -->` … `<!-- end -->`; `python -m tests.docs.tables` writes what lies
between, and a test compares. Words come from the docstrings and help texts of the code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from flowdapt.domain import errors
from flowdapt.domain.run import RUN_TRANSITIONS, STAGE_TRANSITIONS, RunState, StageState
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

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
        (f"`{error.code}`", f"`{error.__name__}`", first_sentence(error.__doc__))
        for error in sorted(_errors(), key=lambda error: error.code)
    )
    return table(("Code", "Class", "Means"), rows)


def _errors() -> Iterator[type[errors.FlowdaptError]]:
    for name in errors.__all__:
        value = getattr(errors, name)
        if isinstance(value, type) and issubclass(value, errors.FlowdaptError):
            yield value


TABLES: dict[str, Callable[[], str]] = {
    "run-states": run_states,
    "stage-states": stage_states,
    "error-codes": error_codes,
}


def main() -> None:
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
