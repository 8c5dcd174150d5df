"""What libraries drag in, seen at run time: start-up stays quick and a worker stays small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.executor_profile import BUILT_IN_PROFILES
from flowdapt.plugins.manager import Plugins
from tests.e2e.daemons import Daemon
from tests.house.source import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CLUSTERS = {"dask", "distributed", "ray"}
TERMINAL = {"textual", "sqlmodel", "fastapi", *CLUSTERS}
WORKER = {"trio", "fastapi", "sqlmodel", "textual", *CLUSTERS}
CLUSTER_KINDS = sorted(set(Plugins().executor_kinds()) & set(BUILT_IN_PROFILES) - {"local"})
EAGER = {"pydantic", "structlog", "fsspec"}

RUN_CLI = """
import contextlib, io, json, os, sys
from flowdapt.cli.main import main
sys.argv = ["flowdapt", *json.loads(os.environ["ARGUMENTS"])]
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code
"""


def loaded(code: str, home: Path, *arguments: str) -> tuple[set[str], object]:
    """Run code in a new interpreter; return the top-level modules it ends with, and its `code`."""
    environment = os.environ | {
        "ARGUMENTS": json.dumps(arguments),
        "FLOWDAPT_HOME": str(home),
        "FLOWDAPT_AUTOSTART": "0",
    }
    tail = "\nimport json as j, sys\nprint(j.dumps([sorted(sys.modules), globals().get('code')]))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names, result = json.loads(done.stdout.splitlines()[-1])
    return {name.partition(".")[0] for name in names}, result


def test_help_loads_neither_server_nor_store_nor_screen(flowdapt_home: Path) -> None:
    libraries, code = loaded(RUN_CLI, flowdapt_home, "--help")
    assert code in (0, None)
    assert not libraries & TERMINAL


@pytest.mark.parametrize(
    "command", [("get", "runs"), ("runs", "ls"), ("status",), ("executor", "ls"), ("use", "dask")]
)
def test_a_question_loads_neither_server_nor_store_nor_screen(
    flowdapt_home: Path, command: tuple[str, ...]
) -> None:
    libraries, code = loaded(RUN_CLI, flowdapt_home, *command)
    assert code == 7, "without a daemon, and not allowed to start one"
    assert not libraries & TERMINAL


def test_stage_code_imports_flowdapt_cheaply(flowdapt_home: Path) -> None:
    libraries, _ = loaded("import flowdapt", flowdapt_home)
    assert not libraries & (WORKER | EAGER | {"sqlalchemy", "rich", "typer", "asyncio"})


def test_every_module_of_the_runtime_is_free_of_the_daemon(flowdapt_home: Path) -> None:
    code = """
import importlib, pkgutil
import flowdapt.runtime
for module in pkgutil.walk_packages(flowdapt.runtime.__path__, "flowdapt.runtime."):
    importlib.import_module(module.name)
code = len(list(pkgutil.walk_packages(flowdapt.runtime.__path__)))
"""
    libraries, modules = loaded(code, flowdapt_home)
    assert isinstance(modules, int)
    assert modules > 3
    assert not libraries & (WORKER | EAGER | {"pluggy", "sqlalchemy"})


def test_the_local_worker_is_free_of_the_daemon(flowdapt_home: Path) -> None:
    code = """
import importlib
importlib.import_module("flowdapt.runtime.worker")
"""
    libraries, _ = loaded(code, flowdapt_home)
    assert not libraries & (WORKER | EAGER | {"pluggy", "sqlalchemy"})


def test_starting_the_daemon_loads_no_cluster_library(flowdapt_home: Path) -> None:
    libraries, _ = loaded("import flowdapt.daemon", flowdapt_home)
    assert not libraries & {"textual", *CLUSTERS}


@pytest.mark.parametrize("kind", CLUSTER_KINDS)
def test_the_daemon_makes_a_cluster_s_executor_without_its_library(
    flowdapt_home: Path, kind: str
) -> None:
    code = f"""
from flowdapt.domain.task import WorkerEnvironment
from flowdapt.plugins.manager import Plugins
found = Plugins().executor({kind!r})
code = found(found.options(), WorkerEnvironment("v", "a", "m")).kind
"""
    libraries, made = loaded(code, flowdapt_home)
    assert made == kind
    assert not libraries & {"textual", *CLUSTERS}


def test_a_daemon_on_sqlite_never_loads_what_it_does_not_use(flowdapt_home: Path) -> None:
    daemon = Daemon(flowdapt_home / "h", {"PYTHONPROFILEIMPORTTIME": "1"})
    try:
        daemon.start()
        daemon.define("hello", "def stage():\n    return 'hello'")
        run = daemon.run("hello")
        assert run["state"] == "finished"
        page = daemon.json("GET", "/api/v1/runs?state=finished&q=hello&sort=-finished")
        assert [one["uid"] for one in page["items"]] == [run["uid"]]
        daemon.json("GET", f"/api/v1/runs/{run['uid']}/stages/only/items")
        assert daemon.json("GET", "/api/v1/events?limit=5")["items"]
        assert daemon.json("GET", "/api/v1/executors")["items"]
        assert daemon.stop() == 0
    finally:
        daemon.kill()
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in daemon.said().splitlines()
        if line.startswith("import time:")
    }
    assert "flowdapt" in imported
    assert not imported & {"sqlalchemy", "sqlmodel", "alembic", "textual", *CLUSTERS}


# What a daemon has loaded when it says that it is ready.
UNTIL_READY = """
import json, os, sys
import flowdapt.services.lifecycle as lifecycle

def notify(*words):
    if words[0].startswith("READY"):
        print(json.dumps(sorted(sys.modules)), flush=True)
        os._exit(0)

lifecycle.notify = notify
from flowdapt.daemon import main
main()
"""


def test_a_daemon_is_ready_before_it_loads_what_only_the_switch_needs(flowdapt_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", UNTIL_READY], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=False, env=os.environ | {"FLOWDAPT_HOME": str(flowdapt_home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"flowdapt.services.executors", "flowdapt.plugins.executors.local"} <= modules
    assert not {name.partition(".")[0] for name in modules} & {"distributed", "dask", "ray"}
    late = {
        "flowdapt.daemon.kinds", "flowdapt.domain.executor_profile", "flowdapt.domain.finding",
        "flowdapt.plugins.bridge", "flowdapt.plugins.executors.dask",
        "flowdapt.plugins.executors.ray", "flowdapt.runtime.smoke",
        "flowdapt.services.executor_views", "flowdapt.services.pool",
        "flowdapt.services.preflight", "flowdapt.services.switch",
    }  # fmt: skip
    assert not modules & late
