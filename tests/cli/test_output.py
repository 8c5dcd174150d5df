"""Every form of `-o` is one valid document, and none of them steers a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flowdapt.cli.output import json_text, yaml_text
from flowdapt.domain.display import escape_controls
from tests.cli.conftest import Program
from tests.client.fake_daemon import FakeDaemon, answer, run

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_json_reads_back_and_is_printable(value: Any) -> None:
    for compact in (True, False):
        text = json_text(value, compact=compact)
        assert json.loads(text) == value
        assert all(escape_controls(line) == line for line in text.split("\n"))


@pytest.mark.parametrize("value", ["\x1b[2J", "\x7f\x9b", "\u202e", {"\x07": ["\x1b"]}])
def test_yaml_reads_back_and_is_printable(value: Any) -> None:
    text = yaml_text(value)
    assert YAML(typ="safe").load(text) == value
    assert all(escape_controls(line) == line for line in text.split("\n"))


@pytest.fixture
def two_runs(fake: FakeDaemon) -> list[dict[str, Any]]:
    found = [run(), run(name="other", state="failed", reason="timeout", partial=False)]
    fake.on("GET", "/runs", answer({"items": found, "next": None}))
    return found


def test_a_list_has_the_same_rows_in_every_form(
    flowdapt: Program, two_runs: list[dict[str, Any]]
) -> None:
    whole = {"items": two_runs, "next": None}
    assert flowdapt("runs", "ls", "-o", "json").json() == whole
    lines = flowdapt("runs", "ls", "-o", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == two_runs
    assert (
        YAML(typ="safe").load(flowdapt("runs", "ls", "-o", "yaml").out)["items"][1]["name"]
        == "other"
    )
    assert flowdapt("runs", "ls", "-o", "name").out.split() == [run()["name"], "other"]
    table = flowdapt("runs", "ls").out.splitlines()
    assert [line.split()[1] for line in table[1:]] == ["finished", "failed"]
    assert "UID" in flowdapt("runs", "ls", "-o", "wide").out


def test_an_empty_list_is_a_document_too(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    assert flowdapt("runs", "ls", "-o", "json").json() == {"items": [], "next": None}
    ended = flowdapt("runs", "ls")
    assert (ended.code, ended.out, ended.err) == (0, "", "nothing found\n")
    assert flowdapt("runs", "ls", "-q").err == ""


def test_a_list_longer_than_a_page_is_put_together(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on(
        "GET", "/runs",
        answer({"items": [run(name="a")], "next": "c1"}),
        answer({"items": [run(name="b")], "next": "c2"}),
        answer({"items": [run(name="c")], "next": None}),
    )  # fmt: skip
    assert flowdapt("runs", "ls", "--all", "-o", "name").out.split() == ["a", "b", "c"]
    assert [one.query.get("cursor") for one in fake.asked] == [None, ["c1"], ["c2"]]


def test_more_than_was_shown_is_mentioned(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [run()], "next": "c1"}))
    ended = flowdapt("runs", "ls", "--limit", "1")
    assert "--all" in ended.err
    assert flowdapt("runs", "ls", "--limit", "1", "-o", "json").json()["next"] == "c1"


def test_a_table_fits_eighty_columns(flowdapt: Program, fake: FakeDaemon) -> None:
    error = {"type": "x.ValueError", "message": "very long " * 30}
    fake.on("GET", "/runs", answer({"items": [run(state="failed", error=error)], "next": None}))
    ended = flowdapt("runs", "ls", columns=80)
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "ValueError: very" in ended.out


def test_no_colour_reaches_a_pipe(flowdapt: Program, two_runs: list[dict[str, Any]]) -> None:
    ended = flowdapt("runs", "ls")
    assert "\x1b" not in ended.out + ended.err


def test_get_of_one_prints_the_thing_itself(flowdapt: Program, fake: FakeDaemon) -> None:
    resource = {"kind": "config", "metadata": {"name": "c"}, "spec": {"data": {"a": 1}}}
    fake.on("GET", "/configs/c", answer(resource))
    assert flowdapt("get", "config", "c", "-o", "json").json() == resource
    assert YAML(typ="safe").load(flowdapt("get", "config", "c", "-o", "yaml").out) == resource


def test_get_filters_and_sorts_resources_here(flowdapt: Program, fake: FakeDaemon) -> None:
    items = [
        {"kind": "config", "metadata": {"name": n, "revision": r}, "spec": {}}
        for n, r in (("a", 2), ("b", 1), ("c", 2))
    ]
    fake.on("GET", "/configs", answer({"items": items, "next": None}))
    words = (
        "get",
        "configs",
        "-l",
        "team=x",
        "--where",
        "revision=2",
        "--sort=-name",
        "-o",
        "name",
    )
    assert flowdapt(*words).out.split() == ["c", "a"]
    assert fake.asked[0].query == {"annotation": ["team=x"]}


def test_get_filters_runs_on_the_server(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    flowdapt(
        "get", "runs", "--where", "state=failed,cancelled", "--where", "workflow=w", "-l", "a=b"
    )
    query = fake.asked[0].query
    assert (query["state"], query["workflow"], query["label"]) == (
        ["failed", "cancelled"],
        ["w"],
        ["a=b"],
    )
    assert flowdapt("get", "runs", "--where", "colour=red").code == 2


def test_a_workflow_is_described_with_what_its_stages_ask_for(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    stages = [{"name": "fit", "target": "m.fit", "timeout": "5s", "retry": {"max_attempts": 2}}]
    metadata = {"name": "train", "uid": "u", "revision": 1}
    found = {"kind": "workflow", "metadata": metadata, "spec": {"stages": stages}}
    fake.on("GET", "/workflows/train", answer(found))
    fake.on("GET", "/runs", answer({"items": [], "next": None}))
    assert 'timeout=5s  retry={"max_attempts": 2}' in flowdapt("describe", "wf", "train").out


def test_resources_are_sorted_only_by_what_they_have(flowdapt: Program, fake: FakeDaemon) -> None:
    one = {"kind": "workflow", "metadata": {"name": "a"}, "spec": {"stages": []}}
    fake.on("GET", "/workflows", answer({"items": [one], "next": None}))
    assert flowdapt("get", "workflow", "--sort", "-name").code == 0
    assert flowdapt("get", "workflow", "--sort=-name").code == 0
    ended = flowdapt("get", "workflow", "--sort", "bogus")
    assert (ended.code, ended.out) == (2, "")
    assert "'bogus'" in ended.err
