"""A disk that fails now and then: errors are told, nothing acknowledged is lost, and work goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from flowdapt.ports.store import RunFilter
from flowdapt.services.clock import SystemClock
from flowdapt.stores.factory import create_store
from flowdapt.stores.sqlite import connect
from tests.stores.recording import build_recorder

pytestmark = [pytest.mark.trio, pytest.mark.faults]

WORDS = ("accepted", "finished", "refused")

WRITER = """
import os, sys
from pathlib import Path
import trio
from flowdapt.domain.errors import FlowdaptError
from flowdapt.services.clock import SystemClock
from flowdapt.stores import sqlite
from flowdapt.stores.factory import create_store
from flowdapt.testing.store_records import finish, inline, new_run, progress

sqlite.CHECKPOINT_WHEN_IDLE = 10

async def main():
    store = create_store("", data_dir=Path(sys.argv[1]), clock=SystemClock())
    await store.open()
    refused = 0
    for at in range(40):
        new = new_run(owner="me", input=inline("x" * 3000))
        try:
            await store.submit(new)
            print("accepted", new.run.uid, flush=True)
            await store.commit(progress(new.run, new.stages[0]))
            new.run.next_seq = 3
            await finish(store, new.run, new.stages)
            print("finished", new.run.uid, flush=True)
        except FlowdaptError as error:
            refused += 1
    last = await store.submit(new_run())
    print("accepted", last.run.uid, flush=True)
    print("refused", refused, flush=True)
    await store.close()

trio.run(main)
"""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_recorder(tmp_path_factory.mktemp("recorder"))


def write_until_done(recorder: Path, place: Path, fail: str) -> list[tuple[str, str]]:
    environment = os.environ | {"LD_PRELOAD": str(recorder), "POWER_FAIL": fail}
    done = subprocess.run(
        [sys.executable, "-c", WRITER, place],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # What the store logs of the ill disk goes there as well.
    said = [line.split() for line in done.stdout.splitlines()]
    told = [(words[0], words[1]) for words in said if words[0] in WORDS]
    assert told, done.stdout
    return told


# The writes that make the database are left whole: a start on a failing disk is refused.
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("first", range(200, 600, 23))
async def test_failing_writes_and_flushes_lose_nothing(
    recorder: Path, tmp_path: Path, first: int, count: int
) -> None:
    told = write_until_done(recorder, tmp_path, f"{first}:{count}")
    with closing(connect(tmp_path / "flowdapt.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store = create_store("", data_dir=tmp_path, clock=SystemClock())
    await store.open()
    found = {run.uid: run.state for run in (await store.list_runs(RunFilter(), limit=500)).items}
    broken = [line for line in await store.check() if "event" in line or "journal" in line]
    await store.close()
    assert broken == []
    for word, uid in told:
        assert word == "refused" or uid in found, (word, uid)
        assert word != "finished" or found[uid] == "finished", (word, uid)
