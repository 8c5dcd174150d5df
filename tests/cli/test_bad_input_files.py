"""Bad input that reaches the command line as a file or as words: told at its place, never a traceback.

Rows 18 and 20-25 of the list of bad inputs, read by `validate`, `run` and `apply` themselves.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, Program
from tests.client.fake_daemon import FakeDaemon, answer, run
from tests.hostile_texts import TEXTS

SUBMIT = "/workflows/train/runs"


def told(ended: Ended, code: int) -> str:
    """Check that an error has its code, a way out and no innards; return it."""
    assert ended.code == code, ended
    assert "Traceback" not in ended.err
    assert "internal" not in ended.err
    assert "fix:" in ended.err or "did you mean" in ended.err, ended.err
    return ended.err


@pytest.mark.parametrize("case", sorted(set(TEXTS) - {"row_25 nothing"}))
def test_a_bad_file_is_told_at_its_place(flowdapt: Program, tmp_path: Path, case: str) -> None:
    text, statuses = TEXTS[case]
    file = tmp_path / "doc.yaml"
    file.write_bytes(text)
    said = told(flowdapt("validate", "-f", str(file)), 5)
    if statuses == (422,):
        assert f"{file}:" in said


INPUTS = {
    "row_18 deep": b'{"a":' + b"[" * 100_000,
    "row_18 NaN": b'{"a": NaN}',
    "row_18 1e999": b'{"a": 1e999}',
    "row_18 duplicate keys": b'{"a": 1, "a": 2}',
    "row_18 lone surrogate": b'{"a": "\\ud800"}',
    "row_18 NUL": b'{"a": "\\u0000"}',
    "row_18 long number": b'{"a": ' + b"9" * 5000 + b"}",
    "row_18 not UTF-8": b'{"a": "\xff"}',
    "row_20 tag": b"!!python/object/apply:os.system [x]",
    "row_25 UTF-16": '{"a": 1}'.encode("utf-16"),
    "row_25 too large": b'{"a": "' + b"x" * 2_000_000 + b'"}',
}


@pytest.mark.parametrize("case", INPUTS)
def test_a_bad_file_of_input_is_told_and_nothing_is_sent(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path, case: str
) -> None:
    file = tmp_path / "input.json"
    file.write_bytes(INPUTS[case])
    told(flowdapt("run", "train", "--input-file", str(file)), 5)
    told(flowdapt("run", "train", "--input-file", "-", stdin=INPUTS[case]), 5)
    assert fake.calls("POST", SUBMIT) == []


@pytest.mark.parametrize(
    "value", ["[" * 10_000, '{"a": 1, "a": 2}', '"\\ud800"', "9" * 5000, '["\\u0000"]']
)
def test_a_bad_value_among_the_words_is_told_and_nothing_is_sent(
    flowdapt: Program, fake: FakeDaemon, value: str
) -> None:
    told(flowdapt("run", "train", "--input", f"a={value}"), 2)
    assert fake.calls("POST", SUBMIT) == []


def test_what_json_does_not_know_is_a_text(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("POST", SUBMIT, answer(run()))
    assert flowdapt("run", "train", "--a", "NaN", "--b", "[1", "--c", "1e999").code == 0
    assert fake.calls("POST", SUBMIT)[0].json()["input"] == {"a": "NaN", "b": "[1", "c": "1e999"}


def test_items_of_an_input_are_an_input(
    flowdapt: Program, fake: FakeDaemon, tmp_path: Path
) -> None:
    fake.on("POST", SUBMIT, answer(run()))
    file = tmp_path / "input.yaml"
    for text in ("items: [1, 2]\n", '{"items": [1, 2]}'):
        file.write_text(text)
        assert flowdapt("run", "train", "--input-file", str(file)).code == 0
        assert fake.calls("POST", SUBMIT)[-1].json()["input"] == {"items": [1, 2]}


def test_a_file_without_end_is_refused(flowdapt: Program, tmp_path: Path) -> None:
    told(flowdapt("validate", "-f", "/dev/zero"), 5)
    told(flowdapt("run", "train", "--input-file", "/dev/zero"), 5)
    told(flowdapt("validate", "-f", str(tmp_path)), 3)
    told(flowdapt("run", "train", "--input-file", str(tmp_path)), 2)


def test_a_pipe_is_a_file(flowdapt: Program, tmp_path: Path) -> None:
    """`<(command)` of a shell is a pipe with a name."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = (
        b"kind: config\nmetadata: {name: a}\nspec: {selector: {type: name, value: x}, data: {}}\n"
    )
    writer = threading.Thread(target=pipe.write_bytes, args=(text,))
    writer.start()
    assert flowdapt("validate", "-f", str(pipe)).code == 0
    writer.join()


# What Linux makes of bytes that are no UTF-8 among the words of a command.
BYTES = os.fsdecode(b"x\xff\xfe")


@pytest.mark.parametrize(
    "command",
    [
        "get workflow {}", "runs show {}", "run {}", "runs cancel {}",
        "-n {} artifact ls", "-s http://{} status", "runs ls --state {}", "get configs -l a={}", "api GET /{}",
        "api POST /apply -d {}", "secret rm {}", "artifact get {}", "apply -f {}", "events --type {}",
        "explain {}", "edit workflow {}", "rollback workflow {} --to 1", "delete workflow {} --yes",
    ],
)  # fmt: skip
def test_bytes_that_are_no_text_are_told_as_such(
    flowdapt: Program, fake: FakeDaemon, command: str
) -> None:
    ended = flowdapt(*(word.replace("{}", BYTES) for word in command.split()))
    assert ended.code in (2, 3, 5)
    assert r"x\udcff\udcfe" in told(ended, ended.code)
    assert [one for one in fake.asked if one.method != "GET"] == []


def test_a_key_of_bytes_that_are_no_text_is_told_and_sent_nowhere(
    flowdapt: Program, fake: FakeDaemon
) -> None:
    assert "idempotency-key" in told(flowdapt("run", "train", "--key", BYTES), 5)
    assert fake.asked == []
