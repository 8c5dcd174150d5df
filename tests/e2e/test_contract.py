"""The contract holds: requests made from the OpenAPI document, valid and not, never break the daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.api.bridge import bridge_to

if TYPE_CHECKING:
    from tests.e2e.daemons import Daemon

# What a schema cannot say (a cursor of another list, the kind of a path) is refused with reason.
LEFT_OUT = "positive_data_acceptance"
# It would end the daemon.
UNSENT = "/drain$"


def generated(daemon: Daemon, examples: int, seconds: int) -> str:
    """Send generated requests; return what the tool found, which is the failure."""
    with bridge_to(daemon.socket) as port:
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run",
                f"http://127.0.0.1:{port}/api/v1/openapi.json",
                "--max-examples", str(examples), "--continue-on-failure",
                "--exclude-checks", LEFT_OUT, "--exclude-path-regex", UNSENT,
                "--suppress-health-check", "all", "--phases", "examples,coverage,fuzzing",
                "--request-timeout", "20", "--warnings", "off",
            ],
            capture_output=True, text=True, timeout=seconds, check=False, cwd=daemon.home.parent,
        )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout[-8000:] + done.stderr


# Short names, that generated requests may hit.
RULES = ("0", "a", "00")


def furnished(daemon: Daemon) -> Daemon:
    """Start a daemon that has a workflow, and rules that run it."""
    daemon.start()
    daemon.define("flow", "def stage(x=1):\n    return x")
    takes = {"workflow": "flow", "input": {"x": {"var": "data"}}}
    spec = {
        "type": "condition",
        "rule": {"eq": [{"var": "type"}, ""]},
        "overlap": "allow",
        "action": {"target": "run_workflow", "parameters": takes},
    }
    rules = [{"kind": "trigger_rule", "metadata": {"name": n}, "spec": spec} for n in RULES]
    daemon.json("POST", "/api/v1/apply", rules)
    return daemon


def counted(daemon: Daemon) -> tuple[int, int]:
    """Return how many requests the daemon has answered, and how many of them as its own fault."""
    text = daemon.ask("GET", "/metrics").body.decode()
    lines = [one for one in text.splitlines() if one.startswith("flowdapt_request_seconds_count{")]
    counts = [(float(line.rsplit(" ", 1)[1]), 'status="5xx"' in line) for line in lines]
    return int(sum(n for n, _ in counts)), int(sum(n for n, faulty in counts if faulty))


def test_the_document_is_openapi_3_1_and_names_every_error(daemon: Daemon) -> None:
    daemon.start()
    document = json.loads(daemon.ask("GET", "/api/v1/openapi.json").body)
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert set(answer["content"]) == {"application/problem+json"}, (method, path)


@pytest.mark.slow
def test_generated_requests_never_break_the_daemon(daemon: Daemon) -> None:
    furnished(daemon)
    assert generated(daemon, 10, 300) == ""
    requests, faults = counted(daemon)
    assert requests > 500
    assert faults == 0
    assert '"level": "error"' not in daemon.said()


@pytest.mark.faults
def test_twenty_thousand_generated_requests_never_break_the_daemon(daemon: Daemon) -> None:
    furnished(daemon)
    assert generated(daemon, 600, 3600) == ""
    requests, faults = counted(daemon)
    assert requests >= 20_000
    assert faults == 0
