from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowdapt.tui.model.graph import ASCII_LINES, BOX_LINES, Drawing, draw
from tests.tui.furnished_run import DEPENDS


def drawn(depends: dict[str, list[str]], signs: str = BOX_LINES) -> list[str]:
    drawing = draw(depends)
    assert drawing is not None
    return [line_of(drawing, y, signs).rstrip() for y in range(drawing.height)]


def line_of(drawing: Drawing, y: int, signs: str) -> str:
    chars = list(drawing.row(y, signs, ">"))
    for box in drawing.boxes.values():
        if box.y == y:
            chars[box.x : box.x + box.width] = f"[{box.name:<{box.width - 2}}]"
    return "".join(chars)


def test_a_diamond_is_drawn_as_one() -> None:
    assert drawn({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}) == [
        "[a  ]─┬─>[b  ]─┬─>[d  ]",
        "      │        │",
        "      └─>[c  ]─┘",
    ]


def test_a_chain_is_one_line_and_needs_no_more_than_ascii() -> None:
    assert drawn({"a": [], "b": ["a"], "c": ["b"]}, ASCII_LINES) == ["[a  ]--->[b  ]--->[c  ]"]


def test_the_cursor_goes_to_neighbours_and_stays_at_the_ends() -> None:
    drawing = draw(DEPENDS)
    assert drawing is not None
    assert drawing.across("load", by=1) == "clean"
    assert drawing.across("load", by=-1) == "load"
    assert drawing.across("report", by=1) == "report"
    assert drawing.beside("load", by=1) == "load"
    wide = draw({"a": [], "b": [], "c": ["a"]})
    assert wide is not None
    assert wide.beside("a", by=1) == "b"


def test_too_many_places_are_no_drawing() -> None:
    everything = [f"s{at}" for at in range(200)]
    assert draw({name: everything[:at] for at, name in enumerate(everything)}) is None


@st.composite
def graphs(draw_: st.DrawFn) -> dict[str, list[str]]:
    count = draw_(st.integers(1, 14))
    names = [f"s{at}" for at in range(count)]
    return {
        name: draw_(st.lists(st.sampled_from(names[:at]), unique=True, max_size=4)) if at else []
        for at, name in enumerate(names)
    }


@given(graphs())
def test_boxes_never_meet_and_every_dependency_is_reached_by_lines(
    depends: dict[str, list[str]],
) -> None:
    drawing = draw(depends)
    assert drawing is not None
    taken = [(x, box.y) for box in drawing.boxes.values() for x in range(box.x, box.x + box.width)]
    assert len(taken) == len(set(taken))
    assert not set(taken) & drawing.lines.keys()
    for name, needs in depends.items():
        reached = _reached_from(drawing, name)
        assert set(needs) <= reached


def _reached_from(drawing: Drawing, name: str) -> set[str]:
    """Walk the lines back from a box; return the boxes that they come from."""
    box = drawing.boxes[name]
    ends = {(one.x + one.width - 1, one.y): one.name for one in drawing.boxes.values()}
    found: set[str] = set()
    todo, seen = [(box.x - 1, box.y)], set()
    while todo:
        x, y = todo.pop()
        if (x, y) in ends:
            found.add(ends[x, y])
            continue
        if (x, y) in seen or (x, y) not in drawing.lines:
            continue
        seen.add((x, y))
        bits = drawing.lines[x, y]
        steps = ((1, 0, -1), (2, 0, 1), (4, -1, 0))
        todo += [(x + right, y + down) for bit, right, down in steps if bits & bit]
    return found
