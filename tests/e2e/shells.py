"""A person's shell: the program as processes of its own, in a home that the test throws away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowdapt.services.instance import read_holder

PROGRAM = [sys.executable, "-m", "flowdapt"]


@dataclass
class Shell:
    """Runs `flowdapt` with words; the daemon that it starts belongs to the test."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *words: str, stdin: str = "", ok: bool = False, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*PROGRAM, *words],
            input=stdin, env=self._environ(environ), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done

    def json(self, *words: str, **environ: str) -> Any:
        return json.loads(self(*words, "-o", "json", ok=True, **environ).stdout)

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=self._environ(environ),
        )  # fmt: skip

    def _environ(self, environ: dict[str, str]) -> dict[str, str]:
        return os.environ | {"FLOWDAPT_HOME": str(self.home)} | self.environ | environ

    @property
    def pid(self) -> int:
        """The daemon of the home."""
        pid = read_holder(self.home / "daemon.lock").get("pid")
        assert isinstance(pid, int)
        return pid

    def module(self, name: str, code: str) -> None:
        path = self.home / "user_modules" / f"{name}.py"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))

    def apply(self, name: str, *stages: dict[str, Any], **spec: Any) -> None:
        document = {
            "kind": "workflow",
            "metadata": {"name": name},
            "spec": {"stages": stages, **spec},
        }
        self("apply", "-f", "-", stdin=json.dumps(document), ok=True)


def stage(name: str, target: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "target": f"user_modules.{target}", **more}
