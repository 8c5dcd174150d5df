"""No space for an artifact, a result or a log: the stage that needed it fails clearly, or its log is cut."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.faults.small_disk import small_disk
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flowdapt.client import Client
    from flowdapt.domain.run import Run
    from tests.workstation import Workstation

STAGES = """
import numpy as np

from flowdapt import artifacts


def keeps(size):
    artifacts.put("kept", b"x" * size)
    return size


def large(size):
    return np.ones(size, dtype="u1")


def loud(lines):
    for _ in range(lines):
        print("y" * 1000)
    return lines
"""
MODULE = "user_modules.wants"
MIB = 1024**2
DISK_MIB = 3


@pytest.fixture
def station() -> Iterator[Workstation]:
    with workstation(FLOWDAPT_LOCAL__SLOTS="1") as made:
        made.module("wants", STAGES)
        yield made


def run(client: Client, name: str, **given: int) -> Run:
    client.apply([workflow(name, stage(name, f"{MODULE}.{name}"))])
    return client.run(name, given, wait=True)


def files(place: Path) -> list[str]:
    return sorted(path.name for path in place.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("point", "name", "place"),
    [
        ("publish.before_rename", "keeps", "artifacts"),
        ("write.before_rename", "large", "values"),
    ],
)
def test_no_space_in_the_middle_of_a_write_fails_the_stage_and_leaves_no_half_file(
    station: Workstation, point: str, name: str, place: str
) -> None:
    station.start(FLOWDAPT_FAILPOINT=f"{point}:enospc")
    with station.client() as client:
        failed = run(client, name, size=MIB)
        assert (failed.state, failed.reason) == ("failed", "stage_failed")
        assert failed.error is not None
        assert "space" in failed.error.message.lower(), failed.error
        assert not [path for path in files(station.home / place) if not path.startswith("logs")]
        again = run(client, name, size=MIB)
        assert again.state == "finished", again.error
    station.doctor()
    assert station.end() == 0


def test_an_artifact_that_does_not_fit_fails_its_stage_and_one_that_does_is_kept(
    station: Workstation,
) -> None:
    with small_disk(station.home / "small", DISK_MIB) as place:
        station.start(FLOWDAPT_STORAGE__ARTIFACTS_URL=str(place))
        with station.client() as client:
            failed = run(client, "keeps", size=2 * DISK_MIB * MIB)
            assert (failed.state, failed.reason) == ("failed", "stage_failed")
            assert failed.error is not None
            assert "StorageFull" in failed.error.type, failed.error
            assert files(place) == []
            assert run(client, "keeps", size=MIB).state == "finished"
            assert any(path.stat().st_size == MIB for path in place.rglob("*"))
        assert station.end() == 0
        station.doctor()


def test_a_result_that_does_not_fit_fails_its_stage_and_a_log_is_cut_with_a_mark(
    station: Workstation,
) -> None:
    with ExitStack() as stack:
        place = stack.enter_context(small_disk(station.home / "values", DISK_MIB))
        station.start()
        with station.client() as client:
            failed = run(client, "large", size=2 * DISK_MIB * MIB)
            assert (failed.state, failed.reason) == ("failed", "stage_failed")
            assert failed.error is not None
            assert "space" in failed.error.message.lower(), failed.error
            assert sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) < MIB
            filler = place / "filler"
            filler.write_bytes(b"x" * 64 * 1024)
            finished = run(client, "loud", lines=2 * DISK_MIB * 1000)
            assert finished.state == "finished", finished.error
            # Full to the last byte, the disk has no room for a mark; who looks later finds it.
            filler.unlink()
            found = client.runs.logs(finished.uid, grep="lines were lost")["items"]
            marks = [line["text"] for line in found]
            assert marks
            assert all(mark.endswith("lines were lost: the disk was full") for mark in marks)
            lost = sum(int(mark.split()[0]) for mark in marks)
            kept = place.joinpath(finished.uid, "log.text").read_text().count("y" * 1000)
            assert lost > 0
            assert kept + lost == 2 * DISK_MIB * 1000
        assert station.end() == 0
        station.doctor()
