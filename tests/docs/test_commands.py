"""Commands that a person is told to type exist: in the documentation and in what errors advise."""

from __future__ import annotations

import re

import pytest

from tests.docs.codes import ways_out
from tests.docs.commands import calls_in, every_command, fault_of_call, fault_of_mention
from tests.docs.pages import ROOT, blocks, pages

CONSOLE = blocks("console")
SHOWN = [
    pytest.param(words, id=f"{block.place} {' '.join(words)[:40]}")
    for block in CONSOLE
    for line in block.text.splitlines()
    if line.startswith("$ ")
    for words in calls_in(line.removeprefix("$ "))
]
# "is there a flowdapt daemon" and "install flowdapt in …" are prose.
MENTION = re.compile(
    r"(?<!a )(?<!the )(?<!same )(?<!install )(?:^|(?<=[\s`(]))flowdapt((?: [\w…<>|./=-]+)+)"
)


@pytest.mark.parametrize("words", SHOWN)
def test_a_command_in_a_console_block_is_understood(words: list[str]) -> None:
    assert fault_of_call(words) is None


def test_commands_named_in_a_sentence_exist() -> None:
    faults = [
        f"{page.relative_to(ROOT)}: {fault}"
        for page in pages()
        for mention in re.findall(r"`flowdapt ([^`\n]+)`", page.read_text(encoding="utf-8"))
        if (fault := fault_of_mention(mention.split()))
    ]
    assert faults == []


def test_commands_that_an_error_advises_exist() -> None:
    faults = [
        f"{place}: {fault}"
        for place, words in ways_out()
        for mention in MENTION.findall(words)
        if (fault := fault_of_mention(mention.split()))
    ]
    assert faults == []


def test_every_command_says_what_it_does() -> None:
    assert [f"{e.name} {c.name}" for e, c in every_command() if not c.summary] == []


def test_the_check_sees_what_is_wrong() -> None:
    assert fault_of_call(["aply", "-f", "x.yaml"])
    assert fault_of_call(["apply", "--no-such-option"])
    assert fault_of_mention(["runs", "resurrect"])
    assert list(calls_in('kill "$(flowdapt status -o json | python)" && flowdapt ui')) == [
        ["status", "-o", "json"],
        ["ui"],
    ]
