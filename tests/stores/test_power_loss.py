"""Power that fails at any instant loses nothing that was acknowledged as durable.

A preloaded recorder notes every write and flush of a writing process. The files are then rebuilt as a
disk could hold them: what was flushed, and any part of what was not, in any order, torn anywhere.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flowdapt.ports.store import RunFilter
from flowdapt.services.clock import SystemClock
from flowdapt.stores.factory import create_store
from tests.faults.seeds import chosen_seed
from tests.stores.recording import build_recorder

pytestmark = [pytest.mark.trio, pytest.mark.faults]

CUTS = 150
SECTOR = 512
HEAD = struct.Struct("<cHqI")
ACKNOWLEDGED = "flowdapt.db.acknowledged"

WRITER = """
import os, sys
from pathlib import Path
import trio
from flowdapt.services.clock import SystemClock
from flowdapt.stores import sqlite
from flowdapt.stores.factory import create_store
from flowdapt.testing.store_records import finish, inline, new_run, progress

sqlite.CHECKPOINT_WHEN_IDLE = 25
place = Path(sys.argv[1])
acks = os.open(place / "flowdapt.db.acknowledged", os.O_WRONLY | os.O_CREAT)
at = 0

def acknowledge(word):
    global at
    at += os.pwrite(acks, (word + "\\n").encode(), at)

async def main():
    store = create_store("", data_dir=place, clock=SystemClock())
    await store.open()

    async def drive():
        for _ in range(12):
            new = await store.submit(new_run(owner="me", input=inline("x" * 3000)))
            acknowledge(f"accepted {new.run.uid}")
            await store.commit(progress(new.run, new.stages[0]))
            await finish(store, new.run, new.stages)
            acknowledge(f"finished {new.run.uid}")

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(drive)
    os._exit(0)

trio.run(main)
"""


@dataclass
class Disk:
    """One file as a disk holds it: what is certain, and what may or may not have arrived."""

    certain: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def flush(self) -> None:
        for offset, data in self.pending:
            put(self.certain, offset, data)
        self.pending.clear()

    def after_power_loss(self, chance: random.Random) -> bytes:
        content = bytearray(self.certain)
        arrived = [one for one in self.pending if chance.random() < 0.5]
        chance.shuffle(arrived)
        for offset, data in arrived:
            put(content, offset, torn(data, chance))
        return bytes(content)


def torn(data: bytes | None, chance: random.Random) -> bytes | None:
    """Return what arrived of one write: sometimes its first sectors only."""
    if data is None or chance.random() < 0.7:
        return data
    return data[: chance.randrange(0, len(data) + 1, SECTOR) or SECTOR]


def put(content: bytearray, offset: int, data: bytes | None) -> None:
    """Write, or cut the file where there are no data."""
    if data is None:
        del content[offset:]
        content.extend(bytes(max(0, offset - len(content))))
        return
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data


def records(trace: bytes) -> Iterator[tuple[bytes, str, int, bytes]]:
    at = 0
    while at < len(trace):
        kind, name, offset, count = HEAD.unpack_from(trace, at)
        at += HEAD.size
        path = trace[at : at + name].decode()
        at += name
        yield kind, Path(path).name, offset, trace[at : at + count]
        at += count


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_recorder(tmp_path_factory.mktemp("recorder"))


@pytest.fixture(scope="module")
def trace(recorder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("power")
    environment = os.environ | {
        "LD_PRELOAD": str(recorder),
        "POWER_TRACE": str(place / "trace"),
    }
    subprocess.run([sys.executable, "-c", WRITER, place], env=environment, check=True, timeout=120)
    return (place / "trace").read_bytes()


async def rows_after(place: Path) -> dict[str, str]:
    """Open what the disk held; return the state of every run that is there."""
    store = create_store("", data_dir=place, clock=SystemClock())
    await store.open()
    try:
        assert [line for line in await store.check() if "event" in line or "journal" in line] == []
        runs = (await store.list_runs(RunFilter(), limit=500)).items
        return {run.uid: run.state.value for run in runs}
    finally:
        await store.close()


async def test_no_acknowledged_commit_is_lost(trace: bytes, tmp_path: Path) -> None:
    seed = chosen_seed()
    chance = random.Random(seed)
    known = list(records(trace))
    kinds = {(kind, name) for kind, name, _, _ in known}
    assert {(b"s", "flowdapt.db-wal"), (b"s", "flowdapt.db"), (b"w", ACKNOWLEDGED)} <= kinds
    first = next(at for at, one in enumerate(known) if one[1] == ACKNOWLEDGED)
    lost = 0
    for cut in sorted(chance.sample(range(first, len(known)), CUTS)):
        disks, acknowledged = held_at(known[:cut])
        place = tmp_path / str(cut)
        place.mkdir()
        for name, disk in disks.items():
            (place / name).write_bytes(disk.after_power_loss(chance))
            lost += len(disk.pending)
        found = await rows_after(place)
        for word, uid in acknowledged:
            assert uid in found, f"{word} run {uid} is lost, seed {seed}, cut {cut}"
            assert word == "accepted" or found[uid] == "finished", f"seed {seed}, cut {cut}"
        shutil.rmtree(place)
    assert lost > CUTS, "nothing was ever at risk"


def held_at(
    known: list[tuple[bytes, str, int, bytes]],
) -> tuple[dict[str, Disk], list[tuple[str, str]]]:
    """Return the disk and the acknowledgements after these records."""
    disks: dict[str, Disk] = defaultdict(Disk)
    words = b""
    for kind, name, offset, data in known:
        if name == ACKNOWLEDGED:
            words += data
        elif name in ("flowdapt.db", "flowdapt.db-wal"):
            if kind == b"s":
                disks[name].flush()
            else:
                disks[name].pending.append((offset, data if kind == b"w" else None))
    lines = words.decode().splitlines()
    return disks, [(line.split()[0], line.split()[1]) for line in lines]
