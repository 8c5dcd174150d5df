"""Decide what a part of a parsed condition promises, and what the parts that hold values are.

A node's `value` is the quick way, `clause` the wordy one; both look at the same elements, so that they
agree even about a condition that looks at too much. `condition_clauses.py` has the parts that judge.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from flowdapt.domain.condition_values import Effort, TooMuch, shown, truth
from flowdapt.domain.event_path import MISSING, EventPath

__all__ = ["Clause", "Constant", "Items", "Node", "Scope", "Var", "joined"]

_TEXT_MAX_CHARS = 300


class Clause(BaseModel):
    """One clause of a condition on one event.

    `held` says what it came to, `reason` what was found there. Clauses that can no longer change the
    outcome are told as well. An `any` or `all` shows the element that decided, or the first.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    held: bool
    reason: str | None = None
    children: tuple[Clause, ...] = ()


class Scope:
    """What a condition sees: the event, the element at hand, and how much it may still look at.

    `spare` pays for what is told only, so that explaining changes no outcome.
    """

    __slots__ = ("effort", "event", "item", "spare")

    def __init__(
        self, event: Mapping[str, Any], item: Any, effort: Effort, spare: Effort | None = None
    ) -> None:
        self.event = event
        self.item = item
        self.effort = effort
        self.spare = spare or effort

    def with_item(self, item: Any) -> Scope:
        """Return the scope inside `any` and `all`."""
        return Scope(self.event, item, self.effort, self.spare)

    def aside(self) -> Scope:
        """Return the scope for what is told although it is decided."""
        return Scope(self.event, self.item, self.spare)


class Node(ABC):
    """A part of a condition. `size` counts it and all below; `text` is how it is shown."""

    __slots__ = ("size", "text")

    size: int
    text: str

    def __init__(self, text: str, below: Sequence[Node] = ()) -> None:
        self.size = 1 + sum(node.size for node in below)
        self.text = text if len(text) <= _TEXT_MAX_CHARS else f"{text[:_TEXT_MAX_CHARS]}…"

    @abstractmethod
    def value(self, scope: Scope) -> Any:
        """Return what it comes to; raise TooMuch."""

    def clause(self, scope: Scope) -> Clause:
        """Return what it came to and why; raise TooMuch just when `value` does."""
        held = truth(self.value(scope))
        try:
            reason = self.found(scope)
        except TooMuch:  # words must not change the outcome
            reason = None
        return Clause(text=self.text, held=held, reason=reason)

    def found(self, scope: Scope) -> str | None:
        """Say what it found in the event; None when it did not look."""
        return None

    def types(self) -> frozenset[str] | None:
        """Return the types of events that it can hold for, None for any."""
        return None


class Constant(Node):
    """A value that the rule itself gives."""

    __slots__ = ("given",)

    def __init__(self, given: Any) -> None:
        super().__init__(shown(given))
        self.given = given

    def value(self, scope: Scope) -> Any:
        return self.given

    def types(self) -> frozenset[str] | None:
        return None if truth(self.given) else frozenset()


class Items(Node):
    """A list, each element a node of its own."""

    __slots__ = ("fixed", "nodes")

    def __init__(self, nodes: Sequence[Node]) -> None:
        super().__init__(f"[{', '.join(node.text for node in nodes)}]", nodes)
        self.nodes = nodes
        given = [node.given for node in nodes if isinstance(node, Constant)]
        self.fixed = given if len(given) == len(nodes) else None

    def value(self, scope: Scope) -> Any:
        return [node.value(scope) for node in self.nodes] if self.fixed is None else self.fixed

    def found(self, scope: Scope) -> str | None:
        return joined(node.found(scope) for node in self.nodes)


class Var(Node):
    """A value of the event, or of the element at hand."""

    __slots__ = ("default", "of_item", "path")

    def __init__(self, path: EventPath, default: Node | None = None, *, of_item: bool) -> None:
        super().__init__(path.text, [default] if default else [])
        self.path = path.below_first() if of_item else path
        self.of_item = of_item
        self.default = default

    def read(self, scope: Scope) -> Any:
        """Return the value, or MISSING."""
        return self.path.find(scope.item if self.of_item else scope.event)

    def value(self, scope: Scope) -> Any:
        found = self.read(scope)
        if found is not MISSING:
            return found
        return self.default.value(scope) if self.default else None

    def found(self, scope: Scope) -> str | None:
        found = self.read(scope)
        return f"{self.text} is {'missing' if found is MISSING else shown(found)}"

    @property
    def is_type(self) -> bool:
        return self.path.parts == ("type",) and not self.of_item and self.default is None


def joined(reasons: Iterable[str | None]) -> str | None:
    """Return what there is of several reasons, None when there is nothing."""
    return "; ".join(reason for reason in reasons if reason) or None
