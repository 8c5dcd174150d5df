from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from flowdapt.tui.model.series import Series, number, plot, series_of


def a_series(*values: float, name: str = "loss") -> Series:
    return Series("fit", name, None, tuple((float(at), value) for at, value in enumerate(values)))


def text_of(series: list[Series], width: int = 40, height: int = 10) -> list[str]:
    made = plot(series, width, height, ascii_only=True)
    assert made is not None
    return ["".join(char for char, _ in row).rstrip() for row in made.rows]


def test_a_falling_line_falls_from_corner_to_corner() -> None:
    rows = text_of([a_series(*range(10, -1, -1))])
    assert rows[0].startswith("*")
    assert rows[-1].endswith("*")
    assert len(rows[-1]) == len(rows[0]) + 30 == 33
    starts = [row.index("*") for row in rows]
    assert starts == sorted(starts)


def test_labels_and_ticks_name_the_ends() -> None:
    made = plot([a_series(0.5, 2.25, 1.0)], 40, 10)
    assert made is not None
    assert (made.labels[0].strip(), made.labels[-1].strip()) == ("2.25", "0.5")
    assert made.ticks.split() == ["0", "1", "2"]
    assert len(made.rows) == 8
    assert {len(row) for row in made.rows} == {40 - made.margin - 2}


def test_several_series_keep_their_numbers_and_signs() -> None:
    rows = text_of([a_series(0, 0, 0), a_series(1, 1, 1, name="other")])
    assert set(rows[0]) == {"+"}
    assert set(rows[-1]) == {"*"}
    made = plot([a_series(0, 0), a_series(1, 1)], 40, 10)
    assert made is not None
    assert {owner for row in made.rows for _, owner in row} == {None, 0, 1}


def test_a_single_value_and_equal_values_have_a_range() -> None:
    for series in (a_series(3.0), a_series(3.0, 3.0), a_series(0.0)):
        assert plot([series], 40, 10) is not None


def test_no_number_and_no_room_are_no_plot() -> None:
    assert plot([a_series(math.nan, math.inf)], 40, 10) is None
    assert plot([], 40, 10) is None
    assert plot([a_series(1, 2)], 12, 10) is None
    assert plot([a_series(1, 2)], 40, 4) is None


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40),
    st.integers(0, 120), st.integers(0, 40), st.booleans(),
)  # fmt: skip
def test_any_numbers_fill_their_room_and_no_more(
    values: list[float], width: int, height: int, ascii_only: bool
) -> None:
    made = plot([a_series(*values)], width, height, ascii_only=ascii_only)
    if made is not None:
        assert len(made.rows) == height - 2
        assert {len(label) + 2 + len(row) for label, row in zip(made.labels, made.rows, strict=True)} == {width}  # fmt: skip
        assert len(made.axis) == len(made.ticks) == width - made.margin - 1


def test_what_the_daemon_tells_is_read_also_where_it_is_no_number() -> None:
    found = series_of([{"stage": "fit", "name": "loss", "index": 3, "points": [[0, 1.5, 9.0], [1, None, 9.5]]}])  # fmt: skip
    assert found[0].key == "fit[3].loss"
    assert found[0].values == [1.5]
    assert a_series(*range(100)).spark(4) == [24, 49, 74, 99]


def test_numbers_are_short() -> None:
    assert [number(one) for one in (0.0, 12.0, 123456.0, 0.123456, 1e9)] == ["0", "12", "123,456", "0.1235", "1e+09"]  # fmt: skip
