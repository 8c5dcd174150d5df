from __future__ import annotations

from typing import Any, cast

from flowdapt.tui.app import FlowdaptApp
from flowdapt.tui.widgets.columns import Cell, Column, widths_of

APP = cast("FlowdaptApp", None)
Row = dict[str, str]


def column(title: str, **more: Any) -> Column[Row]:
    return Column(title, lambda row, _: Cell(row.get(title, "")), **more)


def sizes(columns: list[Column[Row]], rows: list[Row], room: int) -> dict[str, int]:
    return {one.title: size for one, size in widths_of(columns, rows, room, APP)}


ROWS = [{"name": "x" * 20, "why": "y" * 50, "extra": "z" * 10}]


def test_what_is_left_goes_to_the_flexible_column() -> None:
    found = sizes([column("name"), column("why", flex=True)], ROWS, 60)
    assert found == {"name": 20, "why": 38}


def test_a_flexible_column_without_words_takes_no_room_from_others() -> None:
    found = sizes([column("name", least=8), column("why", flex=True)], [{"name": "x" * 20}], 26)
    assert found == {"name": 20, "why": 4}


def test_spare_columns_go_before_any_other_shrinks() -> None:
    columns = [column("name", least=8, must=True), column("extra", spare=True)]
    assert sizes(columns, ROWS, 25) == {"name": 20}


def test_columns_shrink_before_others_are_left_out() -> None:
    assert sizes([column("name", least=8, must=True), column("extra")], ROWS, 25) == {
        "name": 13,
        "extra": 10,
    }


def test_where_nothing_fits_what_must_be_there_is_cut() -> None:
    assert sizes([column("name", must=True), column("extra")], ROWS, 6) == {"name": 6}


def test_no_room_at_all_is_no_error() -> None:
    assert sum(sizes([column("name", must=True)], ROWS, 0).values()) <= 1


def test_wide_letters_count_twice() -> None:
    assert sizes([column("name")], [{"name": "日本語の名前です"}], 60) == {"name": 16}
