"""Decide what each operator of a condition comes to on an event, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowdapt.domain.condition_nodes import Clause, Constant, Items, Node, Scope, Var, joined
from flowdapt.domain.condition_operators import Comparing, Pattern
from flowdapt.domain.condition_values import TooMuch, ValueKind, kind_of, shown, too_much, truth
from flowdapt.domain.event_path import MISSING

__all__ = ["Comparison", "Exists", "Junction", "Matching", "Negation", "Quantifier", "Truth"]


class Comparison(Node):
    """Two operands and what is asked of them."""

    __slots__ = ("comparing", "left", "right", "word")

    def __init__(self, word: str, comparing: Comparing, left: Node, right: Node) -> None:
        super().__init__(f"{_operand(left)} {word} {_operand(right)}", [left, right])
        self.word = word
        self.comparing = comparing
        self.left = left
        self.right = right

    def value(self, scope: Scope) -> bool:
        return self.comparing.test(self.left.value(scope), self.right.value(scope), scope.effort)

    def found(self, scope: Scope) -> str | None:
        aside = scope.aside()
        unlike = self.comparing.unlike(self.left.value(aside), self.right.value(aside))
        return joined([self.left.found(aside), self.right.found(aside), unlike])

    def types(self) -> frozenset[str] | None:
        for var, other in ((self.left, self.right), (self.right, self.left)):
            if self.word == "eq" and isinstance(var, Var) and var.is_type:
                return _texts([other])
        pairs = {"in": (self.left, self.right), "contains": (self.right, self.left)}
        sought, holder = pairs.get(self.word, (None, None))
        if isinstance(sought, Var) and sought.is_type and isinstance(holder, Items):
            return _texts(holder.nodes)
        return None


class Matching(Node):
    """A text and a pattern."""

    __slots__ = ("pattern", "subject")

    def __init__(self, subject: Node, pattern: Pattern) -> None:
        super().__init__(f"{_operand(subject)} matches {shown(pattern.text)}", [subject])
        self.size += 1
        self.subject = subject
        self.pattern = pattern

    def value(self, scope: Scope) -> bool:
        return self.pattern.test(self.subject.value(scope), scope.effort)

    def found(self, scope: Scope) -> str | None:
        aside = scope.aside()
        return joined([self.subject.found(aside), self.pattern.unlike(self.subject.value(aside))])


class Exists(Node):
    """Whether the event has a place, even if null lies there."""

    __slots__ = ("var",)

    def __init__(self, var: Var) -> None:
        super().__init__(f"exists {var.text}", [var])
        self.var = var

    def value(self, scope: Scope) -> bool:
        return self.var.read(scope) is not MISSING

    def found(self, scope: Scope) -> str | None:
        return self.var.found(scope)


class Negation(Node):
    """What holds when its part does not."""

    __slots__ = ("part",)

    def __init__(self, part: Node) -> None:
        super().__init__(f"not {_operand(part)}", [part])
        self.part = part

    def value(self, scope: Scope) -> bool:
        return not truth(self.part.value(scope))

    def clause(self, scope: Scope) -> Clause:
        below = self.part.clause(scope)
        return Clause(text="not", held=not below.held, children=(below,))


class Truth(Node):
    """Whether a value counts as true."""

    __slots__ = ("part",)

    def __init__(self, part: Node) -> None:
        super().__init__(f"bool {_operand(part)}", [part])
        self.part = part

    def value(self, scope: Scope) -> bool:
        return truth(self.part.value(scope))

    def clause(self, scope: Scope) -> Clause:
        below = self.part.clause(scope)
        return Clause(text="bool", held=below.held, children=(below,))

    def types(self) -> frozenset[str] | None:
        return self.part.types()


class Junction(Node):
    """`and` and `or`: the first part that decides ends the search."""

    __slots__ = ("every", "parts", "word")

    def __init__(self, word: str, parts: Sequence[Node]) -> None:
        super().__init__(f" {word} ".join(map(_operand, parts)), parts)
        self.word = word
        self.every = word == "and"
        self.parts = parts

    def value(self, scope: Scope) -> bool:
        for part in self.parts:
            if truth(part.value(scope)) is not self.every:
                return not self.every
        return self.every

    def clause(self, scope: Scope) -> Clause:
        told: list[Clause] = []
        decided = False
        for part in self.parts:
            told.append(_told_only(part, scope) if decided else part.clause(scope))
            decided = decided or told[-1].held is not self.every
        held = self.every is not decided
        return Clause(text=self.word, held=held, children=tuple(told))

    def types(self) -> frozenset[str] | None:
        known = [types for part in self.parts if (types := part.types()) is not None]
        if self.every:
            return frozenset.intersection(*known) if known else None
        return frozenset().union(*known) if len(known) == len(self.parts) else None


class Quantifier(Node):
    """`any` and `all`: what is asked of the elements of a list. Of anything else it never holds."""

    __slots__ = ("asked", "elements", "every", "word")

    def __init__(self, word: str, elements: Node, asked: Node) -> None:
        super().__init__(f"{word} item of {_operand(elements)}: {asked.text}", [elements, asked])
        self.word = word
        self.every = word == "all"
        self.elements = elements
        self.asked = asked

    def value(self, scope: Scope) -> bool:
        elements = self.elements.value(scope)
        if kind_of(elements) is not ValueKind.LIST:
            return False
        return self.every is (self._deciding(elements, scope) is None)

    def _deciding(self, elements: Sequence[Any], scope: Scope) -> int | None:
        scope.effort.spend(len(elements) * self.asked.size)
        inner = scope.with_item(None)
        for index, inner.item in enumerate(elements):
            if truth(self.asked.value(inner)) is not self.every:
                return index
        return None

    def clause(self, scope: Scope) -> Clause:
        text = f"{self.word} item of {_operand(self.elements)}"
        elements = self.elements.value(scope)
        if kind_of(elements) is not ValueKind.LIST:
            reason = f"{self.word} looks at a list, {self.elements.text} is {shown(elements)}"
            return Clause(text=text, held=False, reason=reason)
        index = self._deciding(elements, scope)
        held = self.every is (index is None)
        example = elements[index or 0 : (index or 0) + 1]
        below = tuple(_told_only(self.asked, scope.with_item(one)) for one in example)
        return Clause(
            text=text, held=held, reason=_counted(index, elements, self.every), children=below
        )

    def types(self) -> frozenset[str] | None:
        # `all` holds of an empty list, whatever is asked.
        return None if self.every else self.asked.types()


def _counted(index: int | None, elements: Sequence[Any], every: bool) -> str:
    if not elements:
        return "the list is empty"
    if index is None:
        return f"{'each' if every else 'none'} of {len(elements)} items"
    return f"item {index} of {len(elements)} {'does not' if every else 'does'}"


def _told_only(node: Node, scope: Scope) -> Clause:
    """Return the clause of what decides nothing any more."""
    try:
        return node.clause(scope.aside())
    except TooMuch:
        return Clause(text=node.text, held=False, reason=too_much())


def _operand(node: Node) -> str:
    plain = isinstance(node, Var | Constant | Items)
    return node.text if plain else f"({node.text})"


def _texts(nodes: Sequence[Node]) -> frozenset[str] | None:
    texts = [node.given for node in nodes if isinstance(node, Constant)]
    if len(texts) < len(nodes) or not all(isinstance(text, str) for text in texts):
        return None
    return frozenset(texts)
