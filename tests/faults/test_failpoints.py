"""Places where a fault may strike: each is listed, each is struck by a test, and files are whole after a strike."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.run import RunState
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

ROOT = Path(__file__).parents[2]
PLACE = re.compile(r'failpoint\(\s*"([a-z_.]+)"')
LISTED = re.compile(r"`([a-z]+\.(?:before|after)_[a-z]+)`")

FILES = """
import os
import time

import numpy as np

from flowdapt import artifacts


def array():
    return np.arange(100_000)


def blob(number):
    time.sleep(0.05)  # slow items travel one by one, each small enough to lie in a row
    return os.urandom(10_000).hex()


def total(values):
    return int(values.sum())


def count(values):
    return len(values)


def publish():
    artifacts.put("kept", {"whole": True})
    print("published")
    return 1
"""


def in_code() -> set[str]:
    texts = (path.read_text() for path in (ROOT / "flowdapt").rglob("*.py"))
    return {name for text in texts for name in PLACE.findall(text)}


def test_every_place_is_listed_and_every_listed_one_is_in_the_code() -> None:
    page = (
        (ROOT / "docs/explanation/promises.md")
        .read_text()
        .partition("## Where faults are struck")[2]
    )
    assert set(LISTED.findall(page)) == in_code()
    assert len(in_code()) >= 25


def test_every_place_is_struck_by_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert sorted(name for name in in_code() if f'"{name}' not in tests) == []


def test_a_place_can_wait_until_another_was_passed() -> None:
    passes = "[failpoint(name) or print(name) for name in ('b', 'c', 'a', 'c', 'b')]"
    done = subprocess.run(
        [sys.executable, "-c", f"from flowdapt.failpoints import failpoint; {passes}"],
        env=os.environ | {"FLOWDAPT_FAILPOINT": "b:exit=3@a", "PYTHONUNBUFFERED": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (3, ["b", "c", "a", "c"])


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation(FLOWDAPT_LOCAL__SLOTS="1") as made:
        made.module("files", FILES)
        yield made


def ended(client: Client, uid: str) -> Run:
    run = eventually(
        lambda: (found := client.runs.get(uid)).state.terminal and found, timeout_s=30, every_s=0.05
    )
    assert run
    return run


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ("write.before_rename", "array"),
        ("write.after_rename", "array"),
        ("publish.before_rename", "publish"),
        ("publish.after_rename", "publish"),
    ],
)
def test_a_worker_that_dies_while_it_writes_leaves_no_half_file(
    station: Workstation, point: str, name: str
) -> None:
    station.start(FLOWDAPT_FAILPOINT=f"{point}:kill")
    more = [stage("total", "user_modules.files.total", "array")] if name == "array" else []
    with station.client() as client:
        client.apply([workflow("w", stage(name, f"user_modules.files.{name}"), *more)])
        run = ended(client, client.run("w").uid)
        assert (run.state, run.stages[0].reason, run.stages[0].losses) == (
            RunState.FAILED,
            "stage_crashed",
            3,
        )
    station.doctor()
    assert station.end() == 0
    station.start()
    with station.client() as client:
        again = ended(client, client.runs.retry(run.uid).uid)
        assert again.state is RunState.FINISHED, again.error
    station.doctor()


@pytest.mark.parametrize(
    "point",
    ["up.after_lock", "up.after_store", "commit.before_store", "commit.after_store", "log.before_index",
     "backup.before_rename"],
)  # fmt: skip
def test_a_daemon_that_dies_between_two_writes_goes_on(station: Workstation, point: str) -> None:
    station.start()
    with station.client() as client:
        client.apply([workflow("w", stage("publish", "user_modules.files.publish"))])
        uid = client.run("w").uid
        if point.startswith("up."):
            ended(client, uid)
    station.kill()
    process = station.spawn(FLOWDAPT_FAILPOINT=f"{point}:kill")
    if point == "backup.before_rename":
        eventually(lambda: _back_up(station) or process.poll() is not None, timeout_s=30)
    assert process.wait(30) == -9
    station.start()
    with station.client() as client:
        assert ended(client, uid).state is RunState.FINISHED
        # Lines do not wait for the disk: the last ones before a kill may be gone, the log never is.
        client.runs.logs(uid)
        later = client.run("w", wait=True)
        assert later.state is RunState.FINISHED
        eventually(
            lambda: [line["text"] for line in client.runs.logs(later.uid)["items"]] == ["published"]
        )
    station.doctor()


def _back_up(station: Workstation) -> bool:
    """Ask for a backup; whether there was nobody to ask, or nobody left to answer, is all the same."""
    with suppress(FlowdaptError), Client(transport=UnixTransport(station.socket_path)) as client:
        client.backup()
    return False


def test_a_daemon_that_dies_before_it_puts_a_large_result_away_goes_on(
    station: Workstation,
) -> None:
    process = station.start(FLOWDAPT_FAILPOINT="drive.before_spill:kill")
    each = stage("each", "user_modules.files.blob", type="parameterized", map_on="n")
    with Client(transport=UnixTransport(station.socket_path)) as client:
        client.apply([workflow("w", each, stage("count", "user_modules.files.count", "each"))])
        uid = client.run("w", {"n": list(range(40))}).uid
        assert process.wait(30) == -9
    station.start()
    with station.client() as client:
        run = ended(client, uid)
        assert (run.state, run.result) == (RunState.FINISHED, 40)
    station.doctor()
