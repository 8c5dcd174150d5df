"""What the page on executors shows is what the example holds, and does what the page says."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, cast

import pytest

from flowdapt.domain.task import Failed, Finished, MapSlice, WorkerEnvironment
from flowdapt.runtime.values import decode, encode
from flowdapt.testing.executor_calls import Bench
from tests.docs.pages import ROOT, Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

    from flowdapt.ports.executor import Executor

SHOWN = [*blocks("python", mark="example"), *blocks("toml", mark="example")]
HELD = [
    path.read_text(encoding="utf-8")
    for path in (ROOT / "examples" / "executor_plugin").rglob("*")
    if path.suffix in (".py", ".toml")
]


@pytest.mark.parametrize("block", SHOWN, ids=[block.place for block in SHOWN])
def test_a_piece_of_the_example_stands_in_it_word_for_word(block: Block) -> None:
    method = textwrap.indent(block.text, "    ")
    assert any(block.text in text or method in text for text in HELD)


def test_pieces_are_shown_in_both_languages() -> None:
    assert {block.language for block in SHOWN} == {"python", "toml"}


class Service:
    """The functions of the page for a worker that knows only JSON."""

    def __init__(self, folder: Path) -> None:
        (block,) = [one for one in blocks("python", mark="test") if "def request_of" in one.text]
        made: dict[str, Any] = {}
        exec(compile(block.text, block.place, "exec"), made)
        self.request_of, self.outcome_of = made["request_of"], made["outcome_of"]
        self.refusal_of = made["refusal_of"]
        self.root = str(folder)
        where = WorkerEnvironment(self.root, self.root, self.root)
        self.bench = Bench(cast("Executor", None), where, "run-1")


def test_a_service_gets_json_from_anywhere_and_nothing_else(tmp_path: Path) -> None:
    service = Service(tmp_path)
    large = encode(list(range(99)), service.root, "run-1/a", inline_max_bytes=10)
    call = service.bench.call("service:add", 1, large, stage="sum")
    sent = {"stage": "service:add", "key": "run-1/sum.1", "args": [1, list(range(99))]}
    assert service.request_of(call, service.root) == sent

    pickled = encode((1, 2), service.root, "run-1/b", inline_max_bytes=1000)
    for other in (service.bench.call("service:add", pickled),
                  service.bench.call("service:add", [1], map=MapSlice(0, 1))):  # fmt: skip
        assert service.request_of(other, service.root) is None
        refusal = service.refusal_of(other)
        assert isinstance(refusal, Failed)
        assert not refusal.error.retryable


def test_what_a_service_answers_is_a_value_of_any_size(tmp_path: Path) -> None:
    service = Service(tmp_path)
    call = service.bench.call("service:add", inline_max_bytes=20)
    for answer, kind in (([1, "ä"], "inline"), (["x" * 100, None], "file")):
        outcome = service.outcome_of(call, answer, service.root)
        assert isinstance(outcome, Finished)
        assert (outcome.value.kind, outcome.value.length) == (kind, 2)
        assert decode(outcome.value, service.root) == answer
