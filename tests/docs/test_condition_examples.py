"""Conditions that the reference shows do what it says, about the event that it shows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from flowdapt.domain.condition_findings import ITEM, MAX_DEPTH, MAX_NODES
from flowdapt.domain.condition_operators import MAX_PATTERN_CHARS, MAX_TEXT_BYTES, WORDS
from flowdapt.domain.condition_values import MAX_EFFORT, ValueKind
from flowdapt.domain.conditions import parse_condition
from flowdapt.domain.documents import read
from flowdapt.domain.event_path import MAX_CHARS, MAX_PARTS, MISSING, parse_path
from flowdapt.domain.event_values import MAX_REFERENCES, fill, value_problems
from flowdapt.domain.seen_event import FIELDS
from tests.docs.pages import blocks
from tests.docs.tables import REFERENCE

PAGE = REFERENCE / "conditions.md"
TEXT = PAGE.read_text(encoding="utf-8")
(EVENT,) = (json.loads(block.text) for block in blocks("json") if block.page == PAGE)
_EXAMPLE = re.compile(r"^\| `(\{.+?\})` \| (yes|no) \| `(.+)` \|$", re.MULTILINE)
EXAMPLES = _EXAMPLE.findall(TEXT)
RULES = [
    pytest.param(document.value["spec"], id=block.place)
    for block in blocks("yaml")
    for document in read(block.text)[0]
    if document.value.get("spec", {}).get("type") == "condition"
]


def value_of(text: str) -> Any:
    documents, problems = read(text)
    assert problems == []
    return documents[0].value


@pytest.mark.parametrize(("text", "held", "since"), EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_an_example_holds_as_it_says(text: str, held: str, since: str) -> None:
    condition = parse_condition(value_of(text))
    assert condition.holds(EVENT) is (held == "yes")
    assert condition.explain(EVENT).reason == since


def test_examples_are_found() -> None:
    assert len(EXAMPLES) == TEXT.count("| yes |") + TEXT.count("| no |") > 10
    assert set(EVENT) == set(FIELDS)


@pytest.mark.parametrize("spec", RULES)
def test_a_rule_that_is_shown_leaves_no_doubt(spec: dict[str, Any]) -> None:
    assert parse_condition(spec["rule"]).doubts == ()
    actions = spec.get("actions") or [spec["action"]]
    assert value_problems(actions) == []


def test_the_first_rule_is_about_the_event() -> None:
    spec = next(param.values[0] for param in RULES if "conditions.md" in str(param.id))
    condition = parse_condition(spec["rule"])
    assert not condition.holds(EVENT)
    worse = {**EVENT, "data": {**EVENT["data"], "result": {"loss": 0.7}}}
    assert condition.holds(worse)
    filled = fill(spec["action"]["parameters"], worse)
    assert filled == {"workflow": "fallback", "input": {"loss": 0.7, "run": "5d1f0c33"}}


def test_paths_that_are_shown_lead_somewhere() -> None:
    table = TEXT.partition("| Path |")[2].partition("\n\n")[0]
    paths = re.findall(r"`([^`]+)`", table)
    assert len(paths) > 4
    assert [path for path in paths if parse_path(path).find(EVENT) is MISSING] == []


def test_operators_and_kinds_are_all_told() -> None:
    operators = set(re.findall(r"`([a-z]+)(?:: [^`]+)?`", TEXT)) | {ITEM}
    assert sorted({*WORDS, ITEM} - operators) == []
    kinds = {kind.value for kind in ValueKind if kind is not ValueKind.OTHER}
    assert kinds <= set(re.findall(r"[a-z]+", TEXT.partition("Kinds are")[2].partition(".")[0]))


@pytest.mark.parametrize(
    "limit",
    [
        f"{MAX_DEPTH} levels",
        f"{MAX_NODES} operators and values",
        f"{MAX_PARTS} parts and {MAX_CHARS} characters",
        f"{MAX_REFERENCES} values",
        f"{MAX_EFFORT:,} elements",
        f"{MAX_PATTERN_CHARS:,} characters",
        f"{MAX_TEXT_BYTES // 1024} KiB",
    ],
)
def test_limits_are_told_as_they_are(limit: str) -> None:
    assert limit in " ".join(TEXT.split())
