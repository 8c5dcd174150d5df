"""Two daemons on one PostgreSQL: a switch asked of one is the switch of both."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemons import Daemon
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

WHERE = """
from flowdapt import get_run_context
def stage():
    return get_run_context().executor
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="fd-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.slow
def test_another_daemon_follows_the_switch(folder: Path, postgres_url: str) -> None:
    """The second one drives no runs: it opens no cluster, and its submissions still go there."""
    common = {"FLOWDAPT_DATABASE__URL": postgres_url}
    drives = Daemon(folder / "a", dict(common))
    answers = Daemon(folder / "b", common | {"FLOWDAPT_SERVICES__COMPUTE": "false"})
    try:
        drives.start()
        answers.start()
        assert drives.json("PUT", "/api/v1/active-executor", {"name": "dask"})["switched"]
        eventually(lambda: active(answers) == "dask", timeout_s=8, what="the other one follows")
        views = {one["name"]: one for one in answers.json("GET", "/api/v1/executors")["items"]}
        assert views["dask"]["state"] == "closed"
        drives.define("where", WHERE)
        run = answers.run("where")
        assert (run["executor"], run["state"], run["result"]) == ("dask", "finished", "dask")
        back: Any = drives.json("PUT", "/api/v1/active-executor", {"name": "-"})
        assert back["active"] == "local"
        assert answers.stop() == 0
        assert drives.stop() == 0
    finally:
        answers.kill()
        drives.kill()


def active(daemon: Daemon) -> str:
    return str(daemon.json("GET", "/api/v1/status")["executor"]["name"])
