"""User code as a value: what travels, what stays, and what workers make of it."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowdapt.domain.errors import DamagedValue, TargetMissing, TooLarge, UnsafeDirectory
from flowdapt.runtime import bundle, unbundle
from flowdapt.runtime.bundle import Packer, plugin_sources
from flowdapt.runtime.modules import Targets
from flowdapt.runtime.unbundle import Unpacked, Versions, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder / "user_modules/demo.py", "def answer():\n    return 1\n")
    write(folder / "user_modules/deep/inner.py", "x = 1\n")
    write(folder / "src/library/__init__.py", "VALUE = 7\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "worker")


def write(path: Path, text: str | bytes = "x = 1\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def packer(folder: Path, **named: object) -> Packer:
    return Packer(str(folder / "user_modules"), [str(folder / "src")], **named)  # type: ignore[arg-type]


def names(data: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


def entries(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def zipped(*members: tuple[str, str], mode: int = 0o644) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, text)
    data = buffer.getvalue()
    return hashlib.sha256(data).hexdigest(), data


# -- packing -----------------------------------------------------------------------------------


def test_the_same_files_give_the_same_bytes_wherever_and_whenever(
    project: Path, tmp_path: Path
) -> None:
    first = packer(project).pack()
    other = tmp_path / "elsewhere"
    for path in (p for p in project.rglob("*") if p.is_file()):
        write(other / path.relative_to(project), path.read_bytes())
        os.utime(other / path.relative_to(project), (1, 1))
    assert packer(other).pack() == first
    assert names(first.data) == [
        "path/0/library/__init__.py", "user_modules/deep/inner.py", "user_modules/demo.py"
    ]  # fmt: skip


def test_an_unchanged_tree_is_not_read_twice_and_an_edit_is_seen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "_LOOK_EVERY_S", 0.0)
    one = packer(project)
    first = one.pack()
    assert one.pack() is first
    write(project / "user_modules/demo.py", "def answer():\n    return 2\n")
    second = one.pack()
    assert second.sha256 != first.sha256
    write(project / "user_modules/new.py")
    assert "user_modules/new.py" in names(one.pack().data)
    (project / "user_modules/new.py").unlink()
    assert one.pack().sha256 == second.sha256


def test_a_run_sees_every_edit_from_before_it_began(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "_LOOK_EVERY_S", 60.0)
    monkeypatch.setattr(bundle, "_LOOKING_SHARE", 1e9)
    one = packer(project)
    first = one.pack("run-1")
    write(project / "user_modules/demo.py", "def answer():\n    return 2\n")
    assert one.pack("run-1") is first, "its tasks come many a second, and may share a look"
    second = one.pack("run-2")
    assert second.sha256 != first.sha256
    assert one.pack("run-1") is second


def test_threads_that_pack_at_once_have_the_same_bundle(project: Path) -> None:
    one = packer(project)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one.pack, map(str, range(64))))
    assert {id(each) for each in found} == {id(found[0])}


@pytest.mark.parametrize(
    "name",
    [
        ".git/config", ".env", "__pycache__/demo.cpython-311.pyc", "demo.pyc", "node_modules/a.js",
        "venv/pyvenv.cfg", ".mypy_cache/x.json", "flowdapt.sqlite3", "notes.py~", "run.log",
    ],
)  # fmt: skip
def test_what_is_no_code_stays(project: Path, name: str) -> None:
    before = packer(project).pack()
    write(project / "user_modules" / name)
    assert packer(project).pack() == before


def test_everything_in_a_virtual_environment_stays(project: Path) -> None:
    before = packer(project).pack()
    write(project / "src/anyname/pyvenv.cfg")
    write(project / "src/anyname/lib/thing.py")
    assert packer(project).pack() == before


def test_large_data_stays_and_is_named(project: Path) -> None:
    write(project / "src/table.csv", b"1,2\n" * 400_000)
    write(project / "src/small.csv", b"1,2\n")
    found = packer(project).pack()
    assert found.left_out == ("path/0/table.csv",)
    assert "path/0/small.csv" in names(found.data)


def test_too_much_code_is_refused_with_the_largest_files(project: Path) -> None:
    write(project / "src/huge.py", b"#" * 3_000_000)
    with pytest.raises(TooLarge) as refused:
        packer(project, max_bytes=1024 * 1024).pack()
    assert refused.value.exact_code == "executor.code_too_large"
    assert f"{project}/src/huge.py (2.9 MiB)" in refused.value.message


def test_a_folder_of_endless_files_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_FILES", 10)
    for number in range(10):
        write(project / f"src/f{number}.py")
    with pytest.raises(TooLarge, match="more than 10 files"):
        packer(project).pack()


def test_the_daemons_own_data_stays(project: Path) -> None:
    before = packer(project).pack()
    write(project / "src/home/values/result.bin")
    assert packer(project, apart=[str(project / "src/home")]).pack() == before


def test_links_are_followed_but_not_in_circles(project: Path, tmp_path: Path) -> None:
    write(tmp_path / "shared/tool.py")
    (project / "user_modules/shared").symlink_to(tmp_path / "shared")
    (project / "user_modules/deep/up").symlink_to(project / "user_modules")
    (project / "user_modules/nowhere.py").symlink_to(tmp_path / "missing.py")
    found = [name for name in names(packer(project).pack().data) if name.startswith("user_")]
    assert found == [
        "user_modules/deep/inner.py", "user_modules/demo.py", "user_modules/shared/tool.py"
    ]  # fmt: skip


def test_a_name_that_no_zip_can_hold_is_left_out(project: Path) -> None:
    write(Path(os.fsdecode(bytes(project / "src") + b"/\xff.py")))
    found = packer(project).pack()
    assert len(found.left_out) == 1
    assert all("\udcff" not in name for name in names(found.data))


def test_a_pipe_among_the_files_does_not_hold_up_the_packing(project: Path) -> None:
    before = packer(project).pack()
    os.mkfifo(project / "src/pipe.py")
    assert packer(project).pack() == before


def test_sources_of_an_editable_plugin_travel(tmp_path: Path, root: str) -> None:
    code = f"""
import json
from flowdapt.runtime.bundle import Packer, plugin_sources
from flowdapt.runtime.unbundle import unpack
found = plugin_sources()
made = Packer(plugins=[p for paths in found.values() for p in paths]).pack()
there = unpack(made.sha256, made.data, {root!r})
print(json.dumps([found, there.python_path]))
"""
    info = tmp_path / "site/nowcast-0.4.1.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: nowcast\nVersion: 0.4.1\n")
    write(info / "entry_points.txt", "[flowdapt.plugins]\nnowcast = nowcast.plugin\n")
    write(info / "direct_url.json", '{"url": "file:///x", "dir_info": {"editable": true}}')
    write(tmp_path / "source/nowcast/__init__.py", "raise RuntimeError('imported')\n")
    write(tmp_path / "source/nowcast/plugin.py")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}:{tmp_path / 'source'}"},
    )  # fmt: skip
    found, paths = json.loads(done.stdout)
    assert found == {"nowcast": [str(tmp_path / "source/nowcast")]}
    assert sorted(entries(f"{paths[-1]}/nowcast")) == ["__init__.py", "plugin.py"]


def test_without_editable_plugins_there_are_no_sources() -> None:
    assert plugin_sources(["no-such-plugin"]) == {}


# -- unpacking ---------------------------------------------------------------------------------


def test_a_worker_has_the_folders_as_they_were(project: Path, root: str) -> None:
    made = packer(project).pack()
    there = unpack(made.sha256, made.data, root)
    assert Path(there.user_modules, "deep/inner.py").read_text() == "x = 1\n"
    assert [Path(path, "library").is_dir() for path in there.python_path] == [True]
    assert Path(root).stat().st_mode & 0o077 == 0
    there.release()


def test_what_is_there_already_is_not_asked_for_again(project: Path, root: str) -> None:
    made = packer(project).pack()
    unpack(made.sha256, made.data, root).release()

    def asked() -> bytes:
        raise AssertionError("asked for bytes that are there")

    unpack(made.sha256, asked, root).release()


@pytest.mark.parametrize(
    "name", ["../out.py", "/etc/out.py", "a/../../out.py", "a\\..\\out.py", "a//b.py", "."]
)
def test_no_file_leaves_its_folder(name: str, root: str) -> None:
    sha256, data = zipped(("fine.py", "x"), (name, "x"))
    with pytest.raises(DamagedValue, match="no name of a file"):
        unpack(sha256, data, root)
    assert [n for n in entries(root) if not n.endswith(".lock")] == []


def test_no_link_is_made(root: str) -> None:
    sha256, data = zipped(("link", "/etc/passwd"), mode=0o120777)
    with pytest.raises(DamagedValue, match="no name of a file"):
        unpack(sha256, data, root)


def test_bytes_that_are_not_those_of_the_hash_are_refused(root: str) -> None:
    sha256, data = zipped(("fine.py", "x"))
    with pytest.raises(DamagedValue, match="not what was sent"):
        unpack(sha256, data + b"!", root)
    with pytest.raises(DamagedValue, match="is not the hash"):
        unpack("../" + sha256[3:], data, root)
    with pytest.raises(DamagedValue, match="cannot be unpacked"):
        unpack(hashlib.sha256(b"no zip").hexdigest(), b"no zip", root)


def test_a_folder_that_others_can_write_to_is_refused(root: str) -> None:
    Path(root).mkdir()
    Path(root).chmod(0o777)
    with pytest.raises(UnsafeDirectory, match="only this user"):
        unpack(*zipped(("fine.py", "x")), root)


def test_old_versions_go_unless_a_process_holds_them(root: str) -> None:
    held, *others = [zipped(("fine.py", str(number))) for number in range(8)]
    first = unpack(*held, root)
    os.utime(f"{root}/{held[0]}", (0, 0))
    for number, one in enumerate(others):
        unpack(*one, root).release()
        os.utime(f"{root}/{one[0]}", (number, number))
    last = unpack(*others[-1], root)
    kept = {name for name in entries(root) if not name.endswith(".lock")}
    assert held[0] in kept
    assert others[-1][0] in kept
    assert len(kept) == unbundle.KEPT_VERSIONS + 1
    first.release()
    os.utime(f"{root}/{others[-1][0]}")
    unpack(*others[-1], root).release()
    assert held[0] not in entries(root)
    assert f"{held[0]}.lock" not in entries(root)
    last.release()


def test_the_lock_of_a_removed_version_is_taken_anew(root: str) -> None:
    sha256, data = zipped(("fine.py", "x"))
    unpack(sha256, data, root).release()
    path = f"{root}/{sha256}.lock"
    stale = os.open(path, os.O_RDWR)
    fcntl.flock(stale, fcntl.LOCK_EX)
    Path(path).unlink()
    unpack(sha256, data, root).release()  # would wait for ever for the lock that is gone
    os.close(stale)


def test_a_process_holds_the_last_few_versions_and_lets_the_others_go(root: str) -> None:
    here = Versions(root, held=2)
    made = [zipped(("fine.py", str(number))) for number in range(4)]
    first = here.get(*made[0])
    assert here.get(made[0][0], b"") is first
    here.get(*made[1])
    here.get(made[0][0], b"")
    here.get(*made[2])
    assert [_is_held(root, sha256) for sha256, _ in made[:3]] == [True, False, True]
    here.close()
    assert not any(_is_held(root, sha256) for sha256, _ in made[:3])


def _is_held(root: str, sha256: str) -> bool:
    lock = os.open(f"{root}/{sha256}.lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def test_stages_find_the_code_that_travelled_as_on_the_laptop(
    project: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "_LOOK_EVERY_S", 0.0)
    one, here, find = packer(project), Versions(root), "user_modules.demo.answer"
    first = one.pack()
    write(
        project / "user_modules/demo.py",
        "import library\ndef answer():\n    return library.VALUE\n",
    )
    second = one.pack()
    with _targets(here.get(first.sha256, first.data)) as targets:
        old = targets.find(find)
        assert old() == 1
    with _targets(here.get(second.sha256, lambda: second.data)) as targets:
        assert targets.find(find)() == 7
        assert old() == 1
        with pytest.raises(TargetMissing, match="no 'question'"):
            targets.find("user_modules.demo.question")
    here.close()


@contextmanager
def _targets(unpacked: Unpacked) -> Iterator[Targets]:
    made = Targets(unpacked.user_modules, unpacked.python_path)
    try:
        yield made
    finally:
        made.close()
