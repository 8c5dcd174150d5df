"""Decide where the stages of a workflow stand in a drawing of layers, left to right, and how its lines go.

Layers follow the longest path; a line over several layers goes through places of its own; order within a
layer is by the middle of what leads there, which keeps crossings few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flowdapt.domain.graph import Graph

__all__ = ["ASCII_LINES", "BOX_LINES", "MOST", "Box", "Drawing", "dependencies_of", "draw"]

# More places than this make a drawing that nobody reads, and that takes long to lay out.
MOST = 4000
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
BOX_LINES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
ASCII_LINES = " |||-+++-+++-+++"
_SWEEPS = 4
_WIDEST = 24


@dataclass(frozen=True, slots=True)
class Box:
    """A stage in the drawing: its column and line, and how many columns it takes."""

    name: str
    x: int
    y: int
    width: int
    layer: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing: boxes, and lines as bits of directions by (column, line)."""

    boxes: Mapping[str, Box]
    lines: Mapping[tuple[int, int], int]
    arrows: frozenset[tuple[int, int]]
    width: int
    height: int
    layers: tuple[tuple[str, ...], ...]

    def row(self, y: int, signs: str, arrow: str) -> str:
        """Return one line of the drawing without its boxes."""
        chars = [" "] * self.width
        for x in range(self.width):
            bits = self.lines.get((x, y), 0)
            if bits:
                chars[x] = arrow if (x, y) in self.arrows else signs[bits]
        return "".join(chars)

    def beside(self, name: str, *, by: int) -> str:
        """Return the stage `by` places below (or above) one in its layer."""
        layer = self.layers[self.boxes[name].layer]
        return layer[min(max(layer.index(name) + by, 0), len(layer) - 1)]

    def across(self, name: str, *, by: int) -> str:
        """Return the stage of a neighbouring layer that is nearest."""
        box = self.boxes[name]
        at = box.layer + by
        if not 0 <= at < len(self.layers):
            return name
        return min(self.layers[at], key=lambda one: abs(self.boxes[one].y - box.y))


@dataclass(slots=True)
class _Layout:
    """Places (stages, and where long lines pass) by layer. A place is (stage, None) or (from, to)."""

    layers: list[list[str]]
    parents: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)


def dependencies_of(spec: Any) -> dict[str, list[str]]:
    """Return what each stage of a workflow's spec waits for."""
    found = spec if isinstance(spec, dict) else spec.model_dump()
    made: dict[str, list[str]] = {}
    for stage in found.get("stages") or ():
        needs = stage.get("depends_on") or ()
        made[str(stage["name"])] = (
            [needs] if isinstance(needs, str) else [str(one) for one in needs]
        )
    return made


def draw(dependencies: Mapping[str, Sequence[str]], *, gap: int = 1) -> Drawing | None:
    """Lay out stages; None when there are too many places. `gap` lines are between two of a layer."""
    graph = Graph.of(dependencies)
    depth: dict[str, int] = {}
    for name in graph.order:
        needs = graph.dependencies[name]
        depth[name] = 1 + max((depth[need] for need in needs), default=-1)
    if _places(graph, depth) > MOST:
        return None
    layout = _with_passes(graph, depth)
    _order(layout)
    return _drawn(layout, _lines_of(layout, gap + 1), depth)


def _places(graph: Graph, depth: Mapping[str, int]) -> int:
    passes = sum(
        depth[name] - depth[need] - 1 for name in graph.order for need in graph.dependencies[name]
    )
    return len(depth) + passes


def _with_passes(graph: Graph, depth: Mapping[str, int]) -> _Layout:
    layout = _Layout([[] for _ in range(max(depth.values(), default=-1) + 1)])
    for name in graph.order:
        _add(layout, name, depth[name])
    for name in graph.order:
        for need in dict.fromkeys(graph.dependencies[name]):
            before = need
            for layer in range(depth[need] + 1, depth[name]):
                # Lines of one stage go side by side as one, until they part.
                passing = f"\0{need}\0{layer}"
                if passing not in layout.parents:
                    _add(layout, passing, layer)
                    _join(layout, before, passing)
                before = passing
            _join(layout, before, name)
    return layout


def _add(layout: _Layout, place: str, layer: int) -> None:
    layout.layers[layer].append(place)
    layout.parents[place], layout.children[place] = [], []


def _join(layout: _Layout, before: str, after: str) -> None:
    layout.parents[after].append(before)
    layout.children[before].append(after)


def _order(layout: _Layout) -> None:
    """Sort each layer by the middle of its neighbours, forth and back a few times."""
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        near = layout.parents if forth else layout.children
        layers = layout.layers if forth else layout.layers[::-1]
        for before, layer in pairwise(layers):
            at = {place: number for number, place in enumerate(before)}
            layer.sort(key=lambda place: _middle([at[one] for one in near[place] if one in at]))


def _middle(numbers: list[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _lines_of(layout: _Layout, pitch: int) -> dict[str, int]:
    """Give each place a line: that of what leads there where it is free, else the next."""
    lines: dict[str, int] = {}
    tallest = max(map(len, layout.layers), default=0)
    for number, layer in enumerate(layout.layers):
        free = (tallest - len(layer)) // 2 * pitch if number == 0 else 0
        for at, place in enumerate(layer):
            wanted = [lines[one] for one in layout.parents[place]]
            middle = round(sum(wanted) / len(wanted) / pitch) * pitch if wanted else free
            # What is still to come above the end must find room.
            latest = max((tallest - (len(layer) - at)) * pitch, free)
            lines[place] = max(free, min(middle, latest))
            free = lines[place] + pitch
    least = min(lines.values(), default=0)
    return {place: line - least for place, line in lines.items()}


def _drawn(layout: _Layout, lines: Mapping[str, int], depth: Mapping[str, int]) -> Drawing:
    boxes: dict[str, Box] = {}
    bits: dict[tuple[int, int], int] = {}
    arrows: set[tuple[int, int]] = set()
    x = 0
    for number, layer in enumerate(layout.layers):
        names = [place for place in layer if place in depth]
        width = max((min(len(name), _WIDEST) for name in names), default=0) + 4
        boxes |= {name: Box(name, x, lines[name], width, number) for name in names}
        for place in layer:
            if place not in depth:
                _across(bits, x, x + width, lines[place])
        x += width + _between(layout, layer, lines, bits, arrows, x + width, depth)
    height = max(lines.values(), default=-1) + 1
    shown = tuple(tuple(place for place in layer if place in depth) for layer in layout.layers)
    return Drawing(boxes, bits, frozenset(arrows), x, height, shown)


def _between(
    layout: _Layout,
    layer: Sequence[str],
    lines: Mapping[str, int],
    bits: dict[tuple[int, int], int],
    arrows: set[tuple[int, int]],
    x: int,
    depth: Mapping[str, int],
) -> int:
    """Draw the lines from a layer to the next; return how many columns they take."""
    turning = [
        place
        for place in layer
        if any(lines[child] != lines[place] for child in layout.children[place])
    ]
    if not any(layout.children[place] for place in layer):
        return 0
    room = max(len(turning), 1) + 3
    for place in layer:
        track = x + 1 + (turning.index(place) if place in turning else 0)
        for child in layout.children[place]:
            _line(bits, x, track, x + room, lines[place], lines[child])
            if child in depth:
                arrows.add((x + room - 1, lines[child]))
    return room


def _line(
    bits: dict[tuple[int, int], int], left: int, track: int, right: int, y: int, to: int
) -> None:
    if y == to:
        _across(bits, left, right, y)
        return
    _across(bits, left, track, y)
    _set(bits, track, y, _LEFT | (_DOWN if to > y else _UP))
    for between in range(min(y, to) + 1, max(y, to)):
        _set(bits, track, between, _UP | _DOWN)
    _set(bits, track, to, _RIGHT | (_UP if to > y else _DOWN))
    _across(bits, track + 1, right, to)


def _across(bits: dict[tuple[int, int], int], left: int, right: int, y: int) -> None:
    for x in range(left, right):
        _set(bits, x, y, _LEFT | _RIGHT)


def _set(bits: dict[tuple[int, int], int], x: int, y: int, more: int) -> None:
    bits[x, y] = bits.get((x, y), 0) | more
