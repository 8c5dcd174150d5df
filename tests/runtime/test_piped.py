"""Tasks at the other end of a pipe: how its bytes are read, and that everything ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from flowdapt.domain.task import Cancelled, Finished, Started
from flowdapt.runtime.frames import BadFrame
from flowdapt.runtime.piped import (
    MAGIC,
    Answers,
    Hello,
    Open,
    Run,
    Said,
    Stop,
    encode_order,
)
from flowdapt.testing.executor_calls import Bench
from tests.runtime.stage_calls import environment
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flowdapt.domain.task import Outcome, TaskEvent
    from flowdapt.ports.executor import Executor
    from flowdapt.runtime.piped import Answer, Order

HELLO = b"\x13\x00\x00\x00\x82\xa4type\xa5hello\xa5facts\x80"


def test_what_a_login_shell_says_first_is_skipped() -> None:
    assert list(Answers().feed(b"Welcome!\nflowdapt pipe" + MAGIC + HELLO)) == [Hello({})]


def test_answers_are_the_same_however_the_bytes_are_cut() -> None:
    stream = b"Welcome!" * 1000 + MAGIC + HELLO + HELLO
    for size in (1, 7, 4096):
        answers = Answers()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [one for piece in pieces for one in answers.feed(piece)] == [Hello({})] * 2


@pytest.mark.parametrize("junk", [b"\xff" * 8, b"\x01\x00\x00\x00\xc1", b"\x01\x00\x00\x00\x80"])
def test_bytes_that_no_worker_sends_are_refused(junk: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Answers().feed(MAGIC + junk))


class Far:
    """A worker behind a pipe, and the bench whose calls it takes."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(cast("Executor", None), environment(folder), "run-1")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "flowdapt.runtime.piped"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._answers = Answers()
        self._waiting: list[Answer] = []

    def order(self, *orders: Order) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(map(encode_order, orders)))
        self.process.stdin.flush()

    def answer(self) -> Answer:
        assert self.process.stdout is not None
        while not self._waiting:
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, self.last_words()
            self._waiting += self._answers.feed(chunk)
        return self._waiting.pop(0)

    def said(self) -> tuple[list[TaskEvent], Outcome | None]:
        answer = self.answer()
        assert isinstance(answer, Said)
        return answer.content()

    def outcome(self) -> Outcome:
        _, outcome = self.said()
        return outcome or self.outcome()

    def last_words(self) -> str:
        return self.process.communicate(timeout=10)[1].decode()


@contextmanager
def far_end(folder: Path) -> Iterator[Far]:
    far = Far(folder)
    try:
        far.order(Open(far.bench.environment))
        hello = far.answer()
        assert isinstance(hello, Hello)
        assert hello.facts["pid"] == far.process.pid
        yield far
    finally:
        far.process.kill()
        far.last_words()


def test_tasks_run_side_by_side_and_answer_by_their_numbers(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        gate = tmp_path / "gate"
        far.order(Run(7, far.bench.call("wait", str(gate), 70)))
        assert isinstance(far.said()[0][0], Started)
        far.order(Run(8, far.bench.call("everything", 80)))
        answer = far.answer()
        assert isinstance(answer, Said)
        assert answer.number == 8
        gate.touch()
        outcome = far.outcome()
        assert isinstance(outcome, Finished)
        assert far.bench.decode(outcome.value) == 70


def test_a_large_result_is_a_file_that_the_daemon_can_read(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        far.order(Run(1, far.bench.call("everything", "x" * 3_000_000)))
        outcome = far.outcome()
        assert isinstance(outcome, Finished)
        assert (outcome.value.kind, outcome.value.handle) == ("file", "")
        assert far.bench.decode(outcome.value) == ["x" * 3_000_000]


def test_a_task_is_stopped_even_when_the_word_comes_before_it_begins(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        witness = tmp_path / "witness"
        far.order(Run(1, far.bench.call("run_for_ever", str(witness), grace_s=0.2)), Stop(1))
        assert isinstance(far.outcome(), Cancelled)


def test_everything_ends_with_the_pipe(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        witness = tmp_path / "witness"
        far.order(Run(1, far.bench.call("run_for_ever", str(witness), grace_s=0.2)))
        eventually(witness.exists)
        assert far.process.stdin is not None
        far.process.stdin.close()
        far.process.stdin = None
        assert far.last_words() == ""
        assert far.process.returncode == 0
        assert not _lives(int(witness.read_text()))


def test_bodies_end_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    with far_end(tmp_path) as far:
        witness = tmp_path / "witness"
        far.order(Run(1, far.bench.call("run_for_ever", str(witness))))
        eventually(witness.exists)
        os.kill(far.process.pid, signal.SIGKILL)
        eventually(lambda: not _lives(int(witness.read_text())))


def test_another_version_of_flowdapt_is_told_apart(tmp_path: Path) -> None:
    far = Far(tmp_path)
    far.order(Stop(1))
    assert "is this flowdapt the one that the daemon has" in far.last_words()
    assert far.process.returncode == 1


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
