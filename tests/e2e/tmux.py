"""A terminal as people have it: a tmux of the test's own, typed at and looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.debian import find_program
from tests.waiting import eventually

__all__ = ["Tmux", "running_tmux"]


class Tmux:
    """One server with one pane."""

    def __init__(self, program: str, folder: str, environ: Mapping[str, str]) -> None:
        self._program, self._socket, self._environ = program, f"{folder}/tmux", environ

    def ask(self, *words: str) -> str:
        done = subprocess.run(
            [self._program, "-f", "/dev/null", "-S", self._socket, *words],
            env=dict(self._environ), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    @property
    def text(self) -> str:
        return self.ask("capture-pane", "-p", "-t", "0")

    def type(self, text: str) -> None:
        self.ask("send-keys", "-t", "0", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: `Enter`, `Escape`, `C-s`, or a letter."""
        for key in keys:
            self.ask("send-keys", "-t", "0", key)

    def say(self, command: str) -> None:
        """Type a command at the shell's prompt."""
        self.type(command)
        self.press("Enter")

    def shows(self, *words: str, timeout_s: float = 30.0) -> str:
        """Wait until the pane shows all words at once; return what it shows."""

        def looked() -> str:
            text = self.text
            return text if all(word in text for word in words) else ""

        try:
            return eventually(looked, timeout_s=timeout_s, every_s=0.05)
        except AssertionError:
            raise AssertionError(f"{words} are not shown:\n{self.text}") from None

    def lacks(self, word: str, timeout_s: float = 30.0) -> None:
        eventually(lambda: word not in self.text, timeout_s=timeout_s, what=self.text)

    def resize(self, columns: int, rows: int) -> None:
        self.ask("resize-window", "-t", "0", "-x", str(columns), "-y", str(rows))


@contextmanager
def running_tmux(
    environ: Mapping[str, str], *, columns: int = 130, rows: int = 36
) -> Iterator[Tmux]:
    """Start a tmux with a plain shell in it; end it and what runs in it afterwards."""
    program = find_program("tmux", package="tmux")
    folder = tempfile.mkdtemp(prefix="fd-tmux-")
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"TMUX", "NO_COLOR"}
    }
    plain = {"LANG": "C.UTF-8", "TERM": "xterm-256color", "ENV": "", "HOME": folder}
    tmux = Tmux(program, folder, inherited | plain | environ)
    try:
        tmux.ask("new-session", "-d", "-x", str(columns), "-y", str(rows), "/bin/sh")
        tmux.say("echo re''ady.")
        tmux.shows("ready.")
        yield tmux
    finally:
        subprocess.run(
            [program, "-S", f"{folder}/tmux", "kill-server"], capture_output=True, check=False
        )
        shutil.rmtree(folder, ignore_errors=True)
