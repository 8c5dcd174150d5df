"""A cluster's folder goes with it, also when its process was killed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flowdapt.runtime.own_folder import OwnFolder

HOLDER = """
import signal
from flowdapt.runtime.own_folder import OwnFolder
print(OwnFolder("flowdapt-x-").path, flush=True)
signal.pause()
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_a_folder_is_private_and_goes_when_it_is_removed() -> None:
    folder = OwnFolder("flowdapt-x-")
    (folder.path / "spilled").write_text("much")
    assert folder.path.stat().st_mode & 0o077 == 0
    folder.remove()
    folder.remove()
    assert not folder.path.exists()


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_is_held_stays() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        OwnFolder("flowdapt-x-").remove()
        assert held.exists(), "its process lives"
        holder.kill()
    OwnFolder("flowdapt-x-").remove()
    assert not held.exists()


def test_a_folder_that_is_nobodys_cluster_stays(tmp_path: Path) -> None:
    (tmp_path / "flowdapt-x-mine").mkdir()
    OwnFolder("flowdapt-x-").remove()
    assert (tmp_path / "flowdapt-x-mine").exists()
