"""The demo and the examples as a person meets them: the program, a daemon, worker processes."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowdapt import demo
from tests.e2e.shells import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    shell = Shell(folder / "h")
    yield shell
    shell("down", "--now", "--timeout", "20")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def orders(shell: Shell) -> Shell:
    project = EXAMPLES / "retry_and_partial"
    shutil.copytree(project / "user_modules", shell.home / "user_modules", dirs_exist_ok=True)
    shell("apply", "-f", str(project / "orders.yaml"), ok=True)
    return shell


def stage_of(run: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [stage for stage in run["stages"] if stage["name"] == name]
    return dict(found)


def test_an_attempt_that_hangs_is_stopped_and_the_next_one_answers(orders: Shell) -> None:
    run = orders.json("run", "ask_slow_service", "--wait")
    assert (run["state"], run["result"]) == ("finished", "answered")
    assert stage_of(run, "ask")["attempt"] == 2
    # The first attempt sleeps for an hour; its timeout is a second.
    assert 1 < run["duration_s"] < 60


def test_a_file_that_cannot_be_read_makes_the_run_partial(orders: Shell) -> None:
    run = orders.json("run", "import_orders", "--wait")
    assert (run["state"], run["partial"]) == ("finished", True)
    assert run["result"]["total"] == pytest.approx(34.0)
    items = stage_of(run, "read_file")["items"]
    assert (items["total"], items["finished"], items["failed"]) == (4, 3, 1)


def test_the_broken_file_is_read_once_and_the_mended_one_by_a_retry(orders: Shell) -> None:
    failed = orders.json("run", "import_orders", "--wait")
    items = orders.json("api", "GET", f"/api/v1/runs/{failed['uid']}/stages/read_file/items")
    by_index = {item["index"]: item for item in items["items"]}
    assert by_index[1]["attempt"] == 2
    assert (by_index[2]["state"], by_index[2]["attempt"]) == ("failed", 1)
    assert "twelve" in by_index[2]["error"]["message"]

    module = orders.home / "user_modules" / "orders.py"
    module.write_text(module.read_text().replace("twelve", "12.00"))
    mended = orders.json("runs", "retry", failed["name"], "--wait")
    assert (mended["state"], mended["partial"]) == ("finished", False)
    assert mended["result"]["total"] == pytest.approx(54.0)
    assert mended["parent"] == failed["uid"]


def test_the_demo_prints_its_table_predicts_and_leaves_no_trace(shell: Shell) -> None:
    printed = shell("demo", ok=True).stdout
    (run,) = shell.json("runs", "ls", "--workflow", demo.WORKFLOW)["items"]
    result = json.loads(shell("runs", "result", run["name"], ok=True).stdout)
    assert min(row["improvement_pct"] for row in result) > 10
    for row in demo.describe_result(result)[1]:
        assert all(cell in printed for cell in row)

    forecasts = shell("run", demo.PREDICT_WORKFLOW, "--result-only", ok=True).stdout
    assert len(json.loads(forecasts)) == len(result)

    shell("demo", "--clean", ok=True)
    for workflow in (demo.WORKFLOW, demo.PREDICT_WORKFLOW):
        assert shell.json("runs", "ls", "--workflow", workflow)["items"] == []
    assert shell.json("artifact", "ls")["items"] == []
    assert shell.json("get", "configs")["items"] == []
