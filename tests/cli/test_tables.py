"""Tables fit the terminal, whatever the cells hold."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.cli.screen import Screen
from flowdapt.cli.tables import Column, draw, fields, width_of

COLUMNS = (
    Column("state", lambda row: row["state"], keep=True),
    Column("name", lambda row: row["name"], keep=True),
    Column("size", lambda row: row["size"], right=True),
    Column("reason", lambda row: row["reason"], flex=True),
    Column("uid", lambda row: "u" * 32, wide=True),
)
ROW = {"state": "finished", "name": "brave-otter", "size": "12 KiB", "reason": "because " * 20}


def drawn(
    rows: list[dict[str, str]], width: int | None, *, wide: bool = False, color: bool = False
) -> list[str]:
    screen = Screen(io.StringIO(), io.StringIO(), width=width, color_out=color)
    draw(screen, COLUMNS, rows, wide=wide)
    return screen.out.getvalue().splitlines()


@given(
    rows=st.lists(
        st.fixed_dictionaries({key: st.text(max_size=60) for key in ROW}), min_size=1, max_size=4
    ),
    width=st.integers(30, 120),
)
def test_no_line_is_wider_than_the_terminal(rows: list[dict[str, str]], width: int) -> None:
    lines = drawn(rows, width)
    assert len(lines) == len(rows) + 1
    assert max(width_of(line) for line in lines) <= width


def test_long_words_are_cut_before_columns_go() -> None:
    head, row = drawn([ROW], 60)
    assert head.split() == ["STATE", "NAME", "SIZE", "REASON"]
    assert row.endswith("…")


def test_columns_go_from_the_right_where_the_room_ends() -> None:
    assert drawn([ROW], 32)[0].split() == ["STATE", "NAME", "SIZE"]
    assert drawn([ROW], 24)[0].split() == ["STATE", "NAME"]


def test_a_pipe_gets_everything_in_full() -> None:
    head, row = drawn([ROW], None)
    assert ROW["reason"].strip() in row
    assert "UID" not in head


def test_wide_shows_every_column_in_full() -> None:
    head, row = drawn([ROW], 40, wide=True)
    assert "UID" in head
    assert "u" * 32 in row


def test_numbers_stand_at_the_right_edge() -> None:
    head, first, second = drawn([ROW | {"size": "9 B"}, ROW], None)
    assert head.index("SIZE") + 4 == first.index("9 B") + 3 == second.index("12 KiB") + 6


def test_wide_letters_take_two_columns() -> None:
    assert width_of("日本") == 4
    assert width_of("e\u0301") == 1
    _, row = drawn([ROW | {"name": "日本語" * 10}], 40)
    assert width_of(row) <= 40


def test_colour_changes_no_width() -> None:
    styled = (Column("state", lambda row: row["state"], style=lambda _: "bad"), *COLUMNS[1:])
    screen = Screen(io.StringIO(), io.StringIO(), width=60, color_out=True)
    draw(screen, styled, [ROW], wide=False)
    text = screen.out.getvalue()
    assert "\x1b[1;31mfinished\x1b[0m" in text
    assert "\x1b" not in "".join(drawn([ROW], 60))


def test_cells_are_escaped_before_they_are_measured() -> None:
    _, row = drawn([ROW | {"name": "\x1b[2J\n\u202e"}], None)
    assert r"\x1b[2J\x0a\u202e" in row


def test_nothing_found_is_said_beside_the_data() -> None:
    screen = Screen(io.StringIO(), io.StringIO())
    draw(screen, COLUMNS, [], wide=False)
    assert (screen.out.getvalue(), screen.err.getvalue()) == ("", "nothing found\n")


def test_names_and_values_stand_in_two_columns() -> None:
    screen = Screen(io.StringIO(), io.StringIO())
    fields(screen, [("a", "1"), ("longer", "2\x1b"), ("empty", "")], indent=" ")
    assert screen.out.getvalue() == " a:      1\n longer: 2\\x1b\n"


@pytest.mark.parametrize("width", [1, 10])
def test_a_terminal_of_no_width_is_survived(width: int) -> None:
    assert len(drawn([ROW], width)) == 2
