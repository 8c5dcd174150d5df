"""What the shells offer: commands, options, kinds, and names asked of a daemon that is there."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Program
from tests.client.fake_daemon import FakeDaemon, answer, run

if TYPE_CHECKING:
    from pathlib import Path


def offered(flowdapt: Program, *words: str) -> list[str]:
    ended = flowdapt("__complete", *words)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ru"], ["run", "runs"]),
        (["runs", "re"], ["result", "retry"]),
        (["get", "work"], ["workflow", "workflows"]),
        (["run", "train", "--no-w"], ["--no-wait"]),
        (["runs", "ls", "--state", "f"], ["failed", "finished"]),
        (["logs", "r", "--level", "e"], ["error"]),
        (["runs", "ls", "-o", "j"], ["json", "jsonl"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["edit", "c"], ["config"]),
        (["nonsense", ""], []),
        (["runs", "nonsense", ""], []),
    ],
)
def test_words_of_the_program_are_offered(
    flowdapt: Program, words: list[str], expected: list[str]
) -> None:
    assert offered(flowdapt, *words) == expected


def test_names_are_asked_of_the_daemon(flowdapt: Program, fake: FakeDaemon) -> None:
    fake.on("GET", "/runs", answer({"items": [run(), run(name="calm-cat-1")], "next": None}))
    fake.on("GET", "/workflows", answer({"items": [{"metadata": {"name": "train"}}], "next": None}))
    assert offered(flowdapt, "runs", "show", "ca") == ["calm-cat-1"]
    assert offered(flowdapt, "run", "") == ["train"]
    assert offered(flowdapt, "describe", "wf", "tr") == ["train"]
    assert offered(flowdapt, "runs", "ls", "-w", "") == ["train"]


def test_without_a_daemon_nothing_is_offered_and_none_is_started(
    flowdapt: Program, flowdapt_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWDAPT_AUTOSTART")
    assert offered(flowdapt, "runs", "show", "") == []
    assert list(flowdapt_home.iterdir()) == []


# Every machine has bash; the others are read where they are installed.
SHELLS = [shell for shell in ("bash", "zsh", "fish") if shell == "bash" or shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_reads(
    flowdapt: Program, shell: str, tmp_path: Path
) -> None:
    script = flowdapt("completion", shell).out
    assert "__complete" in script
    program = shutil.which(shell)
    assert program is not None
    file = tmp_path / "script"
    file.write_text(script)
    done = subprocess.run([program, "-n", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_bash_completes_with_the_script(flowdapt: Program, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    (tmp_path / "script").write_text(flowdapt("completion", "bash").out)
    (tmp_path / "flowdapt").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "flowdapt").chmod(0o700)
    typed = f"""
        source {tmp_path}/script
        COMP_WORDS=({tmp_path}/flowdapt runs show 'ab') COMP_CWORD=3
        _flowdapt && printf '%s,' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "-c", typed], capture_output=True, text=True, check=True)
    assert done.stdout == "__complete,runs,show,ab,"
