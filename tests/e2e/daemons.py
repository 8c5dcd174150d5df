"""A real daemon as a process of its own, on a real socket, in a home that the test throws away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowdapt.client.unix import UnixTransport
from flowdapt.client.wire import Request, Response
from flowdapt.domain.errors import FlowdaptError
from flowdapt.paths import find_paths
from tests.waiting import eventually

COMMAND = [sys.executable, "-P", "-m", "flowdapt", "up", "--foreground"]


@dataclass
class Daemon:
    """One home, and the process that serves it (again and again, if the test likes)."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.home.parent / f"{self.home.name}.log"

    @property
    def socket(self) -> Path:
        return find_paths({"FLOWDAPT_HOME": str(self.home)}).socket

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *arguments: str, wait: bool = True) -> Daemon:
        environ = os.environ | {"FLOWDAPT_HOME": str(self.home)} | self.environ
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments], stdout=said, stderr=said, env=environ
            )
        if wait:
            eventually(self.is_ready, timeout_s=30, what=self.said)
        return self

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        try:
            return self.ask("GET", "/readyz").ok
        except FlowdaptError:
            return False

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def ask(
        self, method: str, path: str, body: Any = None, patience_s: float = 60.0, **headers: str
    ) -> Response:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            named.append(("content-type", "application/json"))
        request = Request(method, path, (), tuple(named), content, patience_s)
        return UnixTransport(self.socket).send(request)

    def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.ask(method, path, body, **headers)
        assert answer.ok, answer.body
        return json.loads(answer.body)

    def define(self, name: str, code: str, **spec: Any) -> None:
        """Write a module of stages and apply a workflow that runs its `stage`."""
        module = self.home / "user_modules" / f"{name}.py"
        module.parent.mkdir(mode=0o700, exist_ok=True)
        module.write_text(textwrap.dedent(code))
        stage = {"name": "only", "target": f"user_modules.{name}.stage", **spec}
        document = {"kind": "workflow", "metadata": {"name": name}, "spec": {"stages": [stage]}}
        self.json("POST", "/api/v1/apply", [document])

    def run(self, workflow: str, *, wait_s: int = 30, **given: Any) -> dict[str, Any]:
        prefer = {"prefer": f"wait={wait_s}"} if wait_s else {}
        path = f"/api/v1/workflows/{workflow}/runs"
        found: dict[str, Any] = self.json("POST", path, {"input": given}, **prefer)
        return found

    def get(self, uid: str) -> dict[str, Any]:
        found: dict[str, Any] = self.json("GET", f"/api/v1/runs/{uid}")
        return found

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; return the exit code."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.end()

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
