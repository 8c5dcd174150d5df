"""Decide what may be written as a condition: operators, operands and limits, all problems at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flowdapt.domain.condition_clauses import (
    Comparison,
    Exists,
    Junction,
    Matching,
    Negation,
    Quantifier,
    Truth,
)
from flowdapt.domain.condition_findings import ITEM, MAX_DEPTH, MAX_NODES, Findings
from flowdapt.domain.condition_nodes import Constant, Items, Node, Var
from flowdapt.domain.condition_operators import COMPARISONS, BadPattern, Pattern
from flowdapt.domain.condition_values import ValueKind, kind_of
from flowdapt.domain.event_path import BadPath, EventPath, parse_path
from flowdapt.domain.positions import Loc
from flowdapt.domain.seen_event import FIELDS

__all__ = ["Parser"]

_LISTS = frozenset({ValueKind.LIST})
_TEXTS = frozenset({ValueKind.TEXT})
# A text or a list has a truth, but whoever writes one among conditions has forgotten a `var`.
_NO_CONDITIONS = (ValueKind.TEXT, ValueKind.LIST)

Operands = Sequence[tuple[Any, Loc]]


class Parser:
    """Read one condition. What is wrong is noted in `findings`, and stands as None in the tree."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._nodes = 0
        self._depth = 0
        # How many `any` and `all` enclose the place at hand.
        self._inside = 0
        self._builders: dict[object, Callable[[str, Any, Loc], Node | None]] = {
            **dict.fromkeys(COMPARISONS, self._comparison),
            **dict.fromkeys(("and", "or"), self._junction),
            **dict.fromkeys(("any", "all"), self._quantifier),
            "matches": self._matching,
            "exists": self._exists,
            "not": self._negation,
            "bool": self._truth,
            "var": self._var,
        }

    def condition(self, value: object, loc: Loc) -> Node | None:
        """Return the tree of a whole condition, None when there are problems."""
        if not isinstance(value, dict):
            self.findings.no_mapping(kind_of(value), loc)
            return None
        root = self._node(value, loc)
        if root is not None and root.types() == frozenset():
            self.findings.doubt_types(loc)
        return None if self.findings.problems else root

    # -- any node

    def _node(self, value: Any, loc: Loc) -> Node | None:
        self._nodes += 1
        if self._is_over(value, loc):
            return None
        self._depth += 1
        try:
            if isinstance(value, dict):
                return self._operator(value, loc)
            if isinstance(value, list | tuple):
                nodes = self._all_of((one, (*loc, at)) for at, one in enumerate(value))
                return None if nodes is None else Items(nodes)
            return self._constant(value, loc)
        finally:
            self._depth -= 1

    def _is_over(self, value: object, loc: Loc) -> bool:
        if self._nodes > MAX_NODES:
            if self._nodes == MAX_NODES + 1:
                self.findings.too_many_nodes(loc)
            return True
        if self._depth < MAX_DEPTH or not isinstance(value, dict | list | tuple):
            return False
        self.findings.too_deep(loc)
        return True

    def _all_of(self, operands: Iterable[tuple[Any, Loc]]) -> list[Node] | None:
        """Return the nodes, None when one of them is wrong; all are looked at."""
        nodes: list[Node] = []
        sound = True
        for operand, loc in operands:
            node = self._node(operand, loc)
            if node is None:
                sound = False
            else:
                nodes.append(node)
            if self._nodes > MAX_NODES:
                return None
        return nodes if sound else None

    def _constant(self, value: object, loc: Loc) -> Node | None:
        if kind_of(value) is ValueKind.OTHER or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            self.findings.not_storable(value, loc)
            return None
        return Constant(value)

    def _operator(self, value: dict[Any, Any], loc: Loc) -> Node | None:
        if len(value) != 1:
            self.findings.not_one_operator(value, loc)
            return None
        word, operands = next(iter(value.items()))
        build = self._builders.get(word)
        if build is None:
            self.findings.unknown_operator(word, loc)
            return None
        return build(word, operands, (*loc, word))

    # -- operands

    def _operands(
        self, word: str, value: Any, loc: Loc, *, least: int, most: int | None
    ) -> Operands | None:
        """Return operands with their places; one that is no list stands for itself."""
        if not isinstance(value, list | tuple):
            operands = [(value, loc)]
        else:
            operands = [(one, (*loc, at)) for at, one in enumerate(value[: MAX_NODES + 1])]
        if least <= len(operands) and (most is None or len(operands) <= most):
            return operands
        takes = (
            f"{least}" if least == most else f"{least} to {most}" if most else f"{least} or more"
        )
        count = len(value) if isinstance(value, list | tuple) else 1
        self.findings.wrong_count(word, takes, count, loc)
        return None

    def _fits(self, word: str, node: Node, kinds: frozenset[ValueKind], loc: Loc) -> bool:
        kind = _kind(node)
        if kind is None or kind in kinds:
            return True
        self.findings.wrong_kind(word, kinds - {ValueKind.MAPPING}, kind, loc)
        return False

    def _conditions(self, word: str, operands: Operands | None) -> list[Node] | None:
        """Return the nodes of operands that are asked whether they hold."""
        nodes = None if operands is None else self._all_of(operands)
        for node, (value, loc) in zip(nodes or (), operands or (), strict=False):
            if _kind(node) in _NO_CONDITIONS:
                self.findings.no_condition(word, value, loc)
                nodes = None
        return nodes

    # -- operators

    def _comparison(self, word: str, value: Any, loc: Loc) -> Node | None:
        operands = self._operands(word, value, loc, least=2, most=2)
        nodes = self._all_of(operands or ())
        if not operands or not nodes:
            return None
        left, right = nodes
        comparing = COMPARISONS[word]
        fits = self._fits(word, left, comparing.left, operands[0][1])
        fits = self._fits(word, right, comparing.right, operands[1][1]) and fits
        comparison = Comparison(word, comparing, left, right)
        self._doubt_idle(comparison, nodes, loc)
        return comparison if fits else None

    def _matching(self, word: str, value: Any, loc: Loc) -> Node | None:
        operands = self._operands(word, value, loc, least=2, most=2)
        if operands is None:
            return None
        (subject, subject_loc), (pattern, pattern_loc) = operands
        node = self._node(subject, subject_loc)
        compiled = self._pattern(pattern, pattern_loc)
        if node is None or not self._fits(word, node, _TEXTS, subject_loc) or compiled is None:
            return None
        matching = Matching(node, compiled)
        self._doubt_idle(matching, [node], loc)
        return matching

    def _pattern(self, value: object, loc: Loc) -> Pattern | None:
        self._nodes += 1
        if not isinstance(value, str):
            self.findings.no_constant_pattern(loc)
            return None
        try:
            return Pattern(value)
        except BadPattern as error:
            self.findings.no_pattern(value, error, loc)
            return None

    def _junction(self, word: str, value: Any, loc: Loc) -> Node | None:
        parts = self._conditions(word, self._operands(word, value, loc, least=1, most=None))
        return Junction(word, parts) if parts else None

    def _negation(self, word: str, value: Any, loc: Loc) -> Node | None:
        parts = self._conditions(word, self._operands(word, value, loc, least=1, most=1))
        return Negation(parts[0]) if parts else None

    def _truth(self, word: str, value: Any, loc: Loc) -> Node | None:
        parts = self._conditions(word, self._operands(word, value, loc, least=1, most=1))
        return Truth(parts[0]) if parts else None

    def _quantifier(self, word: str, value: Any, loc: Loc) -> Node | None:
        operands = self._operands(word, value, loc, least=2, most=2)
        if operands is None:
            return None
        (source, source_loc), asked = operands
        elements = self._node(source, source_loc)
        self._inside += 1
        below = self._conditions(word, [asked])
        self._inside -= 1
        if elements is None or not self._fits(word, elements, _LISTS, source_loc) or not below:
            return None
        return Quantifier(word, elements, below[0])

    def _exists(self, word: str, value: Any, loc: Loc) -> Node | None:
        operands = self._operands(word, value, loc, least=1, most=1)
        if operands is None:
            return None
        operand, place = operands[0]
        node = self._node({"var": operand} if isinstance(operand, str) else operand, place)
        if isinstance(node, Var) and node.default is None:
            return Exists(node)
        if node is not None:
            self.findings.no_place(place)
        return None

    def _var(self, word: str, value: Any, loc: Loc) -> Node | None:
        operands = self._operands(word, value, loc, least=1, most=2)
        if operands is None:
            return None
        path = self._path(*operands[0])
        defaults = self._all_of(operands[1:])
        if path is None or defaults is None:
            return None
        default = defaults[0] if defaults else None
        return Var(path, default, of_item=path.parts[0] == ITEM)

    def _path(self, value: object, loc: Loc) -> EventPath | None:
        try:
            path = parse_path(value)
        except BadPath as error:
            self.findings.note("trigger.path", error.message, loc, fix=error.fix)
            return None
        first = path.parts[0]
        if first == ITEM and not self._inside:
            self.findings.item_outside(loc)
            return None
        if first not in FIELDS and first != ITEM:
            self.findings.doubt_field(path, loc)
        return path

    def _doubt_idle(self, node: Node, operands: Sequence[Node], loc: Loc) -> None:
        if all(_kind(operand) is not None for operand in operands):
            self.findings.doubt_idle(node.text, loc)


def _kind(node: Node) -> ValueKind | None:
    """Return what a node always is; None when only the event can tell."""
    if isinstance(node, Constant):
        return kind_of(node.given)
    return ValueKind.LIST if isinstance(node, Items) else None
