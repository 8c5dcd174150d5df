"""Where cluster memory lies, and that none of it stays behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flowdapt.daemon import memory
from flowdapt.daemon.memory import forget_memory, make_memory_directory, sweep_memory
from flowdapt.paths import Paths, find_paths


@pytest.fixture
def shared(flowdapt_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a tmpfs of its own."""
    directory = flowdapt_home / "shm"
    directory.mkdir()
    monkeypatch.setattr(memory, "SHARED", directory)
    return directory


def paths_of(home: Path) -> Paths:
    home.mkdir(exist_ok=True, mode=0o700)
    return find_paths({"FLOWDAPT_HOME": str(home)})


def test_memory_lies_in_a_private_directory_of_the_tmpfs(shared: Path, tmp_path: Path) -> None:
    made = make_memory_directory(paths_of(tmp_path / "h"))
    assert made.is_relative_to(shared)
    assert made.stat().st_mode & 0o777 == 0o700
    assert make_memory_directory(paths_of(tmp_path / "h")) == made
    assert make_memory_directory(paths_of(tmp_path / "other")) != made


def test_without_a_tmpfs_it_lies_beside_the_data(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SHARED", shared / "missing")
    assert make_memory_directory(paths_of(tmp_path / "h")).parent == tmp_path / "h"


def test_a_place_that_somebody_else_prepared_is_not_used(shared: Path, tmp_path: Path) -> None:
    paths = paths_of(tmp_path / "h")
    trap = make_memory_directory(paths).parent
    shutil.rmtree(trap)
    trap.symlink_to(tmp_path)
    assert make_memory_directory(paths).parent == paths.data


def test_forgotten_memory_is_gone(shared: Path, tmp_path: Path) -> None:
    paths = paths_of(tmp_path / "h")
    (make_memory_directory(paths) / "value").write_text("x")
    forget_memory(paths)
    assert list(shared.iterdir()) == []


def test_the_memory_of_homes_that_are_gone_is_swept_and_no_other(
    shared: Path, tmp_path: Path
) -> None:
    kept = make_memory_directory(paths_of(tmp_path / "here"))
    gone = make_memory_directory(paths_of(tmp_path / "gone"))
    (shared / "flowdapt-0-strange").mkdir()
    shutil.rmtree(tmp_path / "gone")
    assert sweep_memory() == 1
    assert kept.is_dir()
    assert not gone.parent.exists()
    assert (shared / "flowdapt-0-strange").is_dir()
