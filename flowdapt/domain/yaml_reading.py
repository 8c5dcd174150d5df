"""Read YAML text strictly into JSON values: core schema (true/false, ints, floats, text), no tags.

Depth is bounded in the scanner and aliases are bounded before anything is copied, so that no text
of the permitted size costs more than its own length. `<<` merges mappings, as people expect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from flowdapt.domain.positions import FLATTER, MAX_DEPTH, Mark, Place, TextProblem
from flowdapt.domain.yaml_scalars import scalar, text_of

if TYPE_CHECKING:
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, Event

__all__ = ["MAX_ALIASED_NODES", "MAX_NODES", "read_yaml"]

MAX_NODES = 200_000
_TAG_MAX_CHARS = 80
MAX_ALIASED_NODES = 10_000
_MAX_ALIASED_CHARS = 1024 * 1024
_MEND = "look at the brackets, quotes and indentation there"
_CORE_TAGS = frozenset({"str", "int", "float", "bool", "null", "map", "seq"})


@dataclass(frozen=True, slots=True)
class _Node:
    """A value with its place, and what copying it would cost."""

    value: Any
    place: Place
    nodes: int = 1
    chars: int = 0


def read_yaml(text: str) -> Iterator[tuple[Any, Place]]:
    """Yield the documents of a stream one by one; raise TextProblem where it cannot go on."""
    from ruamel.yaml.events import DocumentStartEvent

    events = _events(text)
    for event in events:
        if isinstance(event, DocumentStartEvent):
            node = _Composer(events).document()
            yield node.value, node.place


def _events(text: str) -> Iterator[Event]:
    from ruamel.yaml.error import MarkedYAMLError, StringMark

    try:
        yield from _parser().parse(text)
    except TextProblem:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _mark(mark) if isinstance(mark, StringMark) else (1, 1)
        words = [part for part in (error.context, error.problem) if part]
        message = f"this is not YAML: {', '.join(words)}"
        raise TextProblem("document.syntax", message, place, _hint(text, place)) from None
    except Exception as error:
        # Odd escapes and directives trip the library in ways that it does not name.
        message = f"this is not YAML: {error}"[:300]
        raise TextProblem("document.syntax", message, (1, 1), fix=_MEND) from None


def _hint(text: str, place: Mark) -> str:
    line = text.split("\n")[place[0] - 1 : place[0]]
    if line and "\t" in line[0][: len(line[0]) - len(line[0].lstrip())]:
        return "indent with spaces: YAML allows no tabs there"
    return _MEND


def _parser() -> YAML:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _bounded_scanner()
    return yaml


@cache
def _bounded_scanner() -> type:
    from ruamel.yaml.scanner import Scanner

    class BoundedScanner(Scanner):
        """Refuses before it looks ahead: over deep collections and long tags that is quadratic."""

        # The library calls it by these names.
        def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803
            if len(self.flow_context) >= MAX_DEPTH:
                raise _too_deep(_mark(self.reader.get_mark()))
            super().fetch_flow_collection_start(TokenClass, to_push)

        def scan_tag(self) -> Any:
            word = self.reader.prefix(_TAG_MAX_CHARS).split(maxsplit=1)[0]
            if word != "!" and word.removeprefix("!!") not in _CORE_TAGS:
                raise _bad_tag(word, _mark(self.reader.get_mark()))
            return super().scan_tag()

    return BoundedScanner


def _too_deep(mark: Mark) -> TextProblem:
    return TextProblem(
        "document.too_deep", f"nested deeper than {MAX_DEPTH} levels", mark, fix=FLATTER
    )


def _mark(mark: Any) -> Mark:
    return mark.line + 1, mark.column + 1


class _Composer:
    """Makes one document's value from its events."""

    def __init__(self, events: Iterator[Event]) -> None:
        from ruamel.yaml import events as kinds

        self._events = events
        self._kinds = kinds
        self._anchors: dict[str, _Node] = {}
        self._nodes = 0
        self._aliased_nodes = 0
        self._aliased_chars = 0

    def document(self) -> _Node:
        return self._node(next(self._events), 1)

    def _node(self, event: Any, depth: int) -> _Node:
        mark = _mark(event.start_mark)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise TextProblem(
                "document.too_large", f"more than {MAX_NODES} values", mark, fix=FLATTER
            )
        if isinstance(event, self._kinds.AliasEvent):
            return self._alias(event, mark)
        if depth > MAX_DEPTH:
            raise _too_deep(mark)
        _refuse_tag(event, mark)
        node = self._composed(event, mark, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _composed(self, event: Event, mark: Mark, depth: int) -> _Node:
        if isinstance(event, self._kinds.ScalarEvent):
            value = scalar(event, mark)
            return _Node(value, Place(mark), chars=len(event.value))
        if isinstance(event, self._kinds.SequenceStartEvent):
            return self._sequence(mark, depth)
        return self._mapping(mark, depth)

    def _alias(self, event: AliasEvent, mark: Mark) -> _Node:
        """Count what the copy would hold before anybody walks through it."""
        node = self._anchors.get(event.anchor)
        if node is None:
            name = event.anchor[:100]
            message = f"the alias *{name} names nothing that is complete before it"
            fix = f"write &{name} at a value before it, or write the value out"
            raise TextProblem("document.unknown_alias", message, mark, fix=fix)
        self._aliased_nodes += node.nodes
        self._aliased_chars += node.chars
        if self._aliased_nodes > MAX_ALIASED_NODES or self._aliased_chars > _MAX_ALIASED_CHARS:
            message = f"aliases stand for more than {MAX_ALIASED_NODES} values or 1 MiB of text"
            raise TextProblem(
                "document.too_many_aliases", message, mark, fix="write the values out"
            )
        return _Node(
            node.value, Place(mark, node.place.children, node.place.keys), node.nodes, node.chars
        )

    def _sequence(self, mark: Mark, depth: int) -> _Node:
        items: list[_Node] = []
        while not isinstance(event := next(self._events), self._kinds.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        place = Place(mark, {index: item.place for index, item in enumerate(items)})
        return _Node([item.value for item in items], place, *_cost(items))

    def _mapping(self, mark: Mark, depth: int) -> _Node:
        values: dict[str, Any] = {}
        place = Place(mark)
        parts: list[_Node] = []
        merged: list[_Node] = []
        while not isinstance(event := next(self._events), self._kinds.MappingEndEvent):
            key, key_mark, merges = self._key(event)
            value = self._node(next(self._events), depth + 1)
            parts.append(value)
            if merges:
                merged.append(value)
                continue
            if key in values:
                message = f"the key {key[:100]!r} is there twice"
                raise TextProblem("document.duplicate_key", message, key_mark, fix="keep one")
            values[key], place.children[key], place.keys[key] = value.value, value.place, key_mark
        for value in merged:
            _merge(value, values, place)
        return _Node(values, place, *_cost(parts))

    def _key(self, event: Event) -> tuple[str, Mark, bool]:
        """Return the key as it is written (`1` and `on` are text), and whether it is a merge."""
        mark = _mark(event.start_mark)
        if isinstance(event, self._kinds.AliasEvent):
            node = self._alias(event, mark)
            if isinstance(node.value, str):
                return node.value, mark, False
        if not isinstance(event, self._kinds.ScalarEvent):
            raise TextProblem(
                "document.bad_key", "a key is a text", mark, fix="write one word as key"
            )
        _refuse_tag(event, mark)
        key = text_of(event.value, mark)
        if event.anchor:
            self._anchors[event.anchor] = _Node(key, Place(mark), chars=len(key))
        return key, mark, key == "<<" and event.style is None


def _cost(parts: list[_Node]) -> tuple[int, int]:
    return 1 + sum(part.nodes for part in parts), sum(part.chars for part in parts)


def _merge(source: _Node, values: dict[str, Any], place: Place) -> None:
    """Take over what the mapping does not say itself; of several sources the first one wins."""
    several = source.value if isinstance(source.value, list) else [source.value]
    places = source.place.children if isinstance(source.value, list) else {0: source.place}
    for index, mapping in enumerate(several):
        if not isinstance(mapping, dict):
            raise TextProblem(
                "document.bad_merge",
                "`<<` takes a mapping or several",
                source.place.mark,
                fix="name the anchor of a mapping there",
            )
        for key in mapping.keys() - values.keys():
            values[key] = mapping[key]
            place.children[key] = places[index].children[key]
            place.keys[key] = source.place.mark


def _refuse_tag(event: Any, mark: Mark) -> None:
    tag = event.tag
    if tag and tag != "!" and tag.removeprefix("tag:yaml.org,2002:") not in _CORE_TAGS:
        raise _bad_tag(str(tag), mark)


def _bad_tag(tag: str, mark: Mark) -> TextProblem:
    return TextProblem(
        "document.tag",
        f"the tag {tag[:80]} is not allowed",
        mark,
        fix="documents hold plain data: remove the tag",
    )
