"""Values shared by key between processes: whole, private, gone when deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from flowdapt.domain.errors import DamagedValue, InvalidName, UnsafeDirectory, UnstorableResult
from flowdapt.domain.task import WorkerEnvironment
from flowdapt.runtime import memory as memory_module
from flowdapt.runtime.memory import FileMemory, memory_of, segment_of, use_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "memory"


@pytest.fixture
def memory(root: Path) -> FileMemory:
    return FileMemory(root)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and ".lock-" not in path.name]


@pytest.mark.parametrize(
    "value",
    [None, 0, "text", {"a": [1, 2.5, None]}, (1, 2), {1: 2}, b"\x00" * 100_000, "x" * 100_000],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_equal(memory: FileMemory, value: object) -> None:
    memory.put("default", "key", value)
    found = memory.get("default", "key")
    assert found == value
    assert type(found) is type(value)


def test_another_process_finds_it(memory: FileMemory, root: Path) -> None:
    memory.put("default", "key", np.arange(100_000))
    code = f"""
from flowdapt.runtime.memory import FileMemory
print(FileMemory({str(root)!r}).get("default", "key").sum())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 99_999 * 100_000 // 2


def test_an_array_arrives_mapped_and_may_be_changed_without_harm(memory: FileMemory) -> None:
    memory.put("default", "key", np.zeros(100_000))
    mine = memory.get("default", "key")
    assert not mine.flags.owndata
    mine[:] = 1
    assert memory.get("default", "key").sum() == 0


def test_a_missing_key_is_a_key_error(memory: FileMemory) -> None:
    with pytest.raises(KeyError):
        memory.get("default", "key")
    assert not memory.exists("default", "key")
    assert not memory.delete("default", "key")


def test_delete_leaves_no_file(memory: FileMemory, root: Path) -> None:
    memory.put("default", "key", np.zeros(100_000))
    assert memory.delete("default", "key")
    assert not memory.exists("default", "key")
    assert files(root) == []


def test_a_new_value_replaces_the_old_one_and_its_file(memory: FileMemory, root: Path) -> None:
    memory.put("default", "key", np.zeros(100_000))
    memory.put("default", "key", {"small": True})
    assert memory.get("default", "key") == {"small": True}
    assert len(files(root)) == 1


def test_who_has_mapped_the_old_value_keeps_it(memory: FileMemory) -> None:
    memory.put("default", "key", np.ones(100_000))
    old = memory.get("default", "key")
    memory.put("default", "key", np.zeros(100_000))
    memory.delete("default", "key")
    assert old.sum() == 100_000


def test_namespaces_do_not_meet(memory: FileMemory) -> None:
    memory.put("one", "key", 1)
    memory.put("two", "key", 2)
    assert (memory.get("one", "key"), memory.get("two", "key")) == (1, 2)


def test_a_value_that_cannot_be_pickled_leaves_nothing(memory: FileMemory, root: Path) -> None:
    with pytest.raises(UnstorableResult, match="lock"):
        memory.put("default", "key", {"lock": threading.Lock()})
    assert not memory.exists("default", "key")
    assert files(root) == []


def test_writers_and_readers_in_a_crowd_see_whole_values(memory: FileMemory) -> None:
    memory.put("default", "key", np.zeros(20_000))
    seen: list[set[float]] = []

    def write(number: int) -> None:
        for turn in range(20):
            memory.put("default", "key", np.full(20_000, float(number * 100 + turn)))

    def read() -> None:
        seen.extend(set(np.unique(memory.get("default", "key"))) for _ in range(60))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    threads += [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 180
    assert all(len(values) == 1 for values in seen)


def test_a_memory_that_was_cleared_under_a_worker_takes_values_again(
    memory: FileMemory, root: Path
) -> None:
    memory.put("default", "key", 1)
    shutil.rmtree(root)
    assert not memory.exists("default", "key")
    with memory.locked("default", "key"):
        memory.put("default", "key", 2)
    assert memory.get("default", "key") == 2


def test_what_killed_writers_left_is_swept_and_nothing_else(memory: FileMemory, root: Path) -> None:
    with memory.locked("default", "small"):
        memory.put("default", "small", 1)
    memory.put("default", "large", np.ones(100_000))
    for name in (".value-0123.pickle", ".tmp-0123", ".value-fresh.pickle"):
        (root / "default" / name).write_bytes(b"left")
    for path in root.rglob("*"):
        if path.name != ".value-fresh.pickle":
            os.utime(path, (0, 0))
    assert memory.sweep() == 2
    assert memory.sweep() == 0
    assert (memory.get("default", "small"), memory.get("default", "large").sum()) == (1, 100_000)
    assert (root / "default" / ".value-fresh.pickle").exists()


def test_files_and_folders_are_private(memory: FileMemory, root: Path) -> None:
    memory.put("default", "key", np.zeros(100_000))
    with memory.locked("default", "key"):
        pass
    for path in [root, *root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o755)
    with pytest.raises(UnsafeDirectory, match="0700"):
        FileMemory(loose)


def test_a_link_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeDirectory):
        FileMemory(tmp_path / "link")


def test_a_link_in_the_place_of_a_key_is_not_followed(memory: FileMemory, root: Path) -> None:
    memory.put("default", "real", 1)
    (root / "default" / "link").symlink_to(root / "default" / "real")
    with pytest.raises(OSError, match="symbolic link"):
        memory.get("default", "link")


def test_a_damaged_value_is_told_and_not_unpickled(memory: FileMemory, root: Path) -> None:
    memory.put("default", "key", (1, "x" * 100_000))
    (data,) = [path for path in files(root) if path.name.startswith(".value-")]
    content = bytearray(data.read_bytes())
    content[-10] ^= 1
    data.write_bytes(content)
    with pytest.raises(DamagedValue):
        memory.get("default", "key")


@pytest.mark.parametrize("key", ["a", "model.v2", "Berlin_2024", "x" * 100])
def test_a_plain_key_is_its_own_file_name(key: str) -> None:
    assert segment_of(key) == key


ODD_KEYS = ["New York", "a/b", "../../etc/passwd", "ü", "x" * 256, "CON", "key-1", ".hidden", "a.."]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_an_odd_key_works_and_stays_in_its_folder(memory: FileMemory, root: Path, key: str) -> None:
    memory.put("default", key, 1)
    assert memory.get("default", key) == 1
    assert {path.parent for path in files(root)} == {root / "default"}


def test_different_keys_have_different_files() -> None:
    keys = [*ODD_KEYS, "a", "key", segment_of("New York")]
    assert len({segment_of(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("key", ["", "x" * 257, "a\nb", "a\0b", "\x1b[2J"])
def test_a_key_that_cannot_be_shown_is_refused(key: str) -> None:
    with pytest.raises(InvalidName, match="valid key"):
        segment_of(key)


@pytest.mark.parametrize("namespace", ["..", "a/b", "", "a:b"])
def test_a_bad_namespace_is_refused(memory: FileMemory, namespace: str) -> None:
    with pytest.raises(InvalidName):
        memory.put(namespace, "key", 1)


@pytest.fixture
def _default_memory() -> Iterator[None]:
    yield
    use_memory(memory_module._make_files)


@pytest.mark.usefixtures("_default_memory")
def test_a_plugin_may_bring_another_memory(root: Path, memory: FileMemory) -> None:
    environment = WorkerEnvironment(values_root="", artifacts_url="", memory_root=str(root))
    assert isinstance(memory_of(environment), FileMemory)
    assert memory_of(environment) is memory_of(environment)
    use_memory(lambda _: memory)
    assert memory_of(environment) is memory
