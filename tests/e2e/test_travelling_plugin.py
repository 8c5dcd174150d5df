"""A plugin that is installed as somebody's folder runs on workers that have never heard of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.clusters.dask import outside_dask
from tests.e2e.daemons import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

STAGES = "from nowcast.factors import FACTOR\n\n\ndef train(n: int = 2):\n    return n * FACTOR\n"
WORKFLOW = {
    "kind": "workflow",
    "metadata": {"name": "nowcast"},
    "spec": {"stages": [{"name": "train", "target": "nowcast.stages.train"}]},
}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def install_editable(folder: Path) -> None:
    """Leave what `pip install -e` leaves: metadata that points to a folder."""
    info = folder / "site" / "flowdapt_nowcast-0.4.1.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: flowdapt-nowcast\nVersion: 0.4.1\n")
    write(info / "entry_points.txt", "[flowdapt.plugins]\nnowcast = nowcast.plugin\n")
    write(info / "direct_url.json", '{"url": "file:///src", "dir_info": {"editable": true}}')
    for name, text in {
        "__init__": "",
        "plugin": "",
        "factors": "FACTOR = 21\n",
        "stages": STAGES,
    }.items():
        write(folder / "src" / "nowcast" / f"{name}.py", text)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="fd-"))
    install_editable(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    one = Daemon(folder / "h", {"PYTHONPATH": f"{folder / 'site'}:{folder / 'src'}"})
    try:
        yield one.start()
    finally:
        one.kill()


def add(daemon: Daemon, address: str, *, shares_files: bool) -> dict[str, Any]:
    name = "near" if shares_files else "far"
    options = {"address": address, "shares_files": shares_files}
    daemon.json("POST", "/api/v1/executors", {"name": name, "kind": "dask", "options": options})
    found: dict[str, Any] = daemon.json("PUT", "/api/v1/active-executor", {"name": name})
    return found


def test_sources_of_a_plugin_go_along_and_edits_too(daemon: Daemon, folder: Path) -> None:
    with outside_dask(workers=1) as cluster:
        moved = add(daemon, cluster.address, shares_files=False)
        assert moved["switched"], moved
        words = [row["words"] for row in moved["findings"]]
        assert "sources of nowcast go along with the tasks" in words
        daemon.json("POST", "/api/v1/apply", [WORKFLOW])
        assert daemon.run("nowcast")["result"] == 42
        write(folder / "src/nowcast/factors.py", "FACTOR = 50\n")
        assert daemon.run("nowcast")["result"] == 100


def test_workers_that_share_files_and_lack_the_plugin_are_told_of_before_a_run(
    daemon: Daemon,
) -> None:
    with outside_dask(workers=1) as cluster:
        refused = add(daemon, cluster.address, shares_files=True)
        assert not refused["switched"]
        (row,) = [row for row in refused["findings"] if row["level"] == "failed"]
        assert row["code"] == "executor.plugin_skew"
        assert row["words"] == "plugin nowcast 0.4.1 here, none on the worker"
        assert "flowdapt-nowcast==0.4.1" in row["fix"]
        assert "shares_files=false" in row["fix"]
