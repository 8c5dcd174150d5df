"""Texts become documents with places, or problems with places; never anything else."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.documents import MAX_DOCUMENTS, documents_of, read
from flowdapt.domain.errors import TooLarge
from flowdapt.domain.yaml_writing import to_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(f'*{chr(ord(name) - 1)}' for _ in range(9))}]\n"
    for name in "bcdefghi"
)


@pytest.fixture(scope="module", autouse=True)
def _library_is_loaded() -> None:
    read("a: 1")


def only_problem(text: str | bytes, form=None):
    documents, problems = read(text, source="w.yaml", form=form)
    assert documents == []
    (problem,) = problems
    return problem


def value(text: str):
    documents, problems = read(text)
    assert problems == []
    (document,) = documents
    return document.value


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("a: !!python/object/apply:os.system ['x']", "document.tag", (1, 4)),
        ("a: !<tag:yaml.org,2002:python/name:os.system> x", "document.tag", (1, 4)),
        ("a: !secret x", "document.tag", (1, 4)),
        ("!" * 1_000_000, "document.tag", (1, 1)),
        (BOMB, "document.too_many_aliases", (5, 8)),
        ("[" * 20_000, "document.too_deep", (1, 65)),
        ("a: " + "[" * 20_000, "document.too_deep", (1, 68)),
        ("{a: " * 20_000, "document.too_deep", (1, 257)),
        ("- " * 20_000, "document.too_deep", (1, 129)),
        ('{"a":' * 20_000, "document.too_deep", (1, 321)),
        ("".join(" " * i + "a:\n" for i in range(1000)), "document.too_deep", (65, 65)),
        ("a: &a [*a]", "document.unknown_alias", (1, 8)),
        ("a: *b", "document.unknown_alias", (1, 4)),
        ("a: 1\nb: 2\na: 3", "document.duplicate_key", (3, 1)),
        ('{"a": 1, "a": 2}', "document.duplicate_key", (1, 10)),
        ("\ufeffa: 1", "document.encoding", (1, 1)),
        ("a: 1".encode("utf-16"), "document.encoding", (1, 1)),
        (b"a: 1\nb: \xff", "document.encoding", (2, 4)),
        ("a:\n\tb: 1", "document.syntax", (2, 1)),
        ("a: [1, 2", "document.syntax", (1, 9)),
        ("a: b: c", "document.syntax", (1, 5)),
        ("a: .nan", "document.not_finite", (1, 4)),
        ("a: -.inf", "document.not_finite", (1, 4)),
        ("a: 1e999", "document.not_finite", (1, 4)),
        ('{"a": NaN}', "document.not_finite", (1, 7)),
        ('{"a": -Infinity}', "document.not_finite", (1, 7)),
        ('{"a": 1e999}', "document.not_finite", (1, 7)),
        ('a: "\\ud800"', "document.bad_character", (1, 4)),
        ('{"a": "\\ud800"}', "document.bad_character", (1, 7)),
        ('{"a": {"\\u0000": 1}}', "document.bad_character", (1, 18)),
        ('a: "\\0"', "document.bad_character", (1, 4)),
        ("a: \0", "document.bad_character", (1, 4)),
        ("a: \ud800", "document.bad_character", (1, 4)),
        ("a: b\x1b[2J", "document.bad_character", (1, 5)),
        ("a: " + "9" * 100_000, "document.number_too_long", (1, 4)),
        ('{"a": ' + "9" * 100_000 + "}", "document.number_too_long", (1, 7)),
        ('a: "\\UFFFFFFFF"', "document.syntax", (1, 1)),
        ("[a]: 1", "document.bad_key", (1, 1)),
        ("<<: 3", "document.bad_merge", (1, 5)),
        ("a: !!int x", "document.bad_value", (1, 4)),
    ],
    ids=lambda value: repr(value)[:24] if isinstance(value, str | bytes) else None,
)
def test_bad_text_is_a_problem_with_a_place_in_no_time(text, code, place) -> None:
    # Of this process alone: what others do on the machine is no fault of the reader.
    began = time.process_time()
    problem = only_problem(text)
    took_s = time.process_time() - began
    assert (problem.code, (problem.line, problem.column)) == (code, place)
    assert problem.source == "w.yaml"
    assert took_s < 0.1


def test_aliases_of_long_texts_are_bounded_too() -> None:
    text = f"a: &a {'x' * 500_000}\nb: [{','.join(['*a'] * 5000)}]"
    assert only_problem(text).code == "document.too_many_aliases"


@pytest.mark.parametrize("text", ["a" * 2_000_000, b"a" * 2_000_000, "é" * 600_000])
def test_more_than_a_mebibyte_is_too_large(text: str | bytes) -> None:
    with pytest.raises(TooLarge, match="the limit is 1048576"):
        read(text)


@pytest.mark.parametrize("text", ["---\n" * 200_000, "[" + "1," * 200_000 + "1]"])
def test_too_many_documents_are_a_problem(text: str) -> None:
    documents, problems = read(text)
    assert [problem.code for problem in problems] == ["document.too_many"]
    assert len(documents) <= MAX_DOCUMENTS


def test_only_what_the_core_schema_knows_has_a_type() -> None:
    text = """
    words: [yes, no, on, off, y, n, 1:30:00, 2026-01-01, 2026-01-01T00:00:00Z, 0b1, 1_000, "1", '']
    types: [true, False, 7, -1, 0x1F, 0o17, 007, 1.5, 1e3, .5, null, ~, ]
    on: yes
    1: one
    true: 2
    """
    assert value(text) == {
        "words": [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "1:30:00",
            "2026-01-01",
            "2026-01-01T00:00:00Z",
            "0b1",
            "1_000",
            "1",
            "",
        ],
        "types": [True, False, 7, -1, 31, 15, 7, 1.5, 1000.0, 0.5, None, None],
        "on": "yes",
        "1": "one",
        "true": 2,
    }


def test_aliases_and_merges_work_as_people_expect() -> None:
    text = """
    base: &base {a: 1, b: 2}
    more: &more {c: 3}
    merged: {<<: [*base, *more], b: 9}
    again: *base
    """
    assert value(text) == {
        "base": {"a": 1, "b": 2},
        "more": {"c": 3},
        "merged": {"a": 1, "b": 9, "c": 3},
        "again": {"a": 1, "b": 2},
    }


def test_core_tags_are_fine() -> None:
    assert value("a: !!str 1\nb: !!float 1\nc: ! 1\nd: !!seq [1]") == {
        "a": "1",
        "b": 1.0,
        "c": "1",
        "d": [1],
    }


def test_several_documents_are_fine_and_empty_ones_are_none() -> None:
    documents, problems = read("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n")
    assert problems == []
    assert [document.value for document in documents] == [{"a": 1}, {"b": 2}]
    assert read("") == ([], [])


def test_documents_before_a_broken_one_are_still_read() -> None:
    documents, problems = read("a: 1\n---\nb: [")
    assert [document.value for document in documents] == [{"a": 1}]
    assert [problem.code for problem in problems] == ["document.syntax"]


@pytest.mark.parametrize("form", ["json", None])
def test_json_may_hold_one_document_a_list_or_a_page(form) -> None:
    one = {"kind": "x"}
    for text, count in (
        (json.dumps(one), 1),
        (json.dumps([one, one]), 2),
        (json.dumps({"items": [one, one, one], "next": None}), 3),
    ):
        documents, problems = read(text, form=form)
        assert problems == []
        assert [document.value for document in documents] == [one] * count


def test_flow_style_yaml_is_not_taken_for_broken_json() -> None:
    assert value("{a: b}") == {"a": "b"}
    assert only_problem("{a: b}", form="json").code == "document.syntax"


def test_every_part_of_a_yaml_document_has_a_place() -> None:
    (document,), _ = read("a: 1\nb:\n  - x\n  - {c: d}\n")
    assert document.mark(("a",)) == (1, 4)
    assert document.mark(("b", 0)) == (3, 5)
    assert document.mark(("b", 1, "c")) == (4, 9)
    assert document.mark(("b", 1, "c"), key=True) == (4, 6)
    assert document.mark(("b", 7, "e")) == (3, 3)
    assert document.mark(()) == (1, 1)


def test_every_part_of_a_json_document_has_a_place() -> None:
    text = '[{"a": 1,\n  "b": ["x", {"c": "d\\"}"}], "e": {}, "f": []}]'
    (document,), _ = read(text)
    assert document.mark(("a",)) == (1, 8)
    assert document.mark(("b", 0)) == (2, 9)
    assert document.mark(("b", 1, "c")) == (2, 20)
    assert document.mark(("b", 1, "c"), key=True) == (2, 15)
    assert document.mark(("f",)) == (2, 44)


def test_escaped_surrogate_pairs_are_one_letter() -> None:
    assert value('a: "\\ud83d\\ude00"') == value('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def test_values_that_no_json_holds_are_problems() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    bad = [float("nan"), {1: 2}, object(), "\ud800", "\0", 10**400, deep, b"x", {"a": {1, 2}}]
    for one in bad:
        documents, problems = documents_of([{"kind": "config", "spec": one}])
        assert len(documents) == 1
        assert {problem.code for problem in problems} == {"document.bad_value"}, one
        assert all(problem.loc[:1] == ("spec",) for problem in problems)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXTS, below, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(TEXTS, JSON, min_size=1, max_size=4))
def test_what_is_written_as_yaml_is_read_as_the_same(document: dict[str, object]) -> None:
    text = to_yaml(document)
    documents, problems = read(text, form="yaml")
    assert problems == [], text
    if "items" not in document or "kind" in document:
        assert [one.value for one in documents] == [document], text


@given(st.dictionaries(TEXTS, JSON, min_size=1, max_size=3))
def test_json_is_read_alike_by_both_readers(document: dict[str, object]) -> None:
    if "items" in document:
        return
    text = json.dumps(document)
    as_json, problems = read(text, form="json")
    assert problems == []
    assert as_json[0].value == document
    as_yaml, problems = read(text, form="yaml")
    assert problems == []
    assert as_yaml[0].value == document


@given(st.text(max_size=200) | st.text("[]{}:,-?&*!|>'\"%@`#\n \tab1.", max_size=80))
def test_no_text_breaks_the_reader(text: str) -> None:
    documents, problems = read(text)
    assert all(problem.line and problem.column for problem in problems)
    for document in documents:
        json.dumps(document.value, allow_nan=False)


@given(st.binary(max_size=100))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for form in ("json", "yaml"):
        _, problems = read(data, form=form)
        assert len(problems) <= 1
