"""Decide whether a condition rule is sound, and whether it holds for an event.

Parsing finds everything wrong at once (`condition_parsing.py`); evaluating never raises.
`docs/reference/conditions.md` is the language's description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowdapt.domain.condition_nodes import Clause, Node, Scope
from flowdapt.domain.condition_parsing import Parser
from flowdapt.domain.condition_values import Effort, TooMuch, too_much, truth
from flowdapt.domain.errors import InvalidInput, Problem
from flowdapt.domain.positions import Loc

__all__ = [
    "Clause",
    "Condition",
    "ConditionError",
    "ConditionProblem",
    "condition_problems",
    "parse_condition",
]

ConditionProblem = Problem


class ConditionError(InvalidInput):
    """The condition is wrong; `problems` lists everything found, the rest tells the first of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(first.message, fix=first.fix, code=first.code, problems=problems)
        self.loc = first.loc
        self.suggestion = first.suggestion


class Condition:
    """A parsed condition, ready to be asked about many events. Immutable.

    `doubts` are what is allowed and yet hardly meant: a comparison that reads nothing of the event, a
    field that no event has, types that no event can have at once.
    """

    __slots__ = ("_root", "_types", "doubts")

    def __init__(self, root: Node, doubts: Sequence[Problem] = ()) -> None:
        self._root = root
        self._types = root.types()
        self.doubts = tuple(doubts)

    def holds(self, event: Mapping[str, Any]) -> bool:
        """Return whether it holds. Never raises for JSON; what looks at too much does not hold."""
        try:
            return truth(self._root.value(Scope(event, None, Effort())))
        except TooMuch:
            return False

    def explain(self, event: Mapping[str, Any]) -> Clause:
        """Return the same, clause by clause, with what was found in the event."""
        try:
            return self._root.clause(Scope(event, None, Effort(), Effort()))
        except TooMuch:
            return Clause(text=self._root.text, held=False, reason=too_much())

    @property
    def text(self) -> str:
        """Return the condition on one line, for people."""
        return self._root.text

    def types(self) -> frozenset[str] | None:
        """Return the event types that it can hold for at all; None: it may hold for any."""
        return self._types


def parse_condition(value: object, at: Loc = ()) -> Condition:
    """Return the condition that a rule's value spells; raise ConditionError.

    `at` is the value's own place: places in problems begin with it.
    """
    parser = Parser()
    root = parser.condition(value, at)
    if root is None:
        raise ConditionError(parser.findings.problems)
    return Condition(root, parser.findings.doubts)


def condition_problems(value: object, at: Loc = ()) -> list[ConditionProblem]:
    """Return everything that is wrong with a rule's value; empty when it can be parsed."""
    parser = Parser()
    parser.condition(value, at)
    return parser.findings.problems
