"""Artifacts: named files that appear whole, come back equal, and stay in their folder."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import fsspec
import numpy as np
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from flowdapt import artifacts
from flowdapt.domain.errors import (
    DamagedValue,
    InvalidInput,
    InvalidName,
    MissingArtifact,
    OutsideStage,
    StorageFull,
    TooLarge,
)
from flowdapt.runtime.artifacts import ArtifactStore
from tests.runtime.stage_calls import environment, stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.domain.task import WorkerEnvironment


@pytest.fixture(params=["file", "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> WorkerEnvironment:
    url = f"memory://{uuid.uuid4().hex}/artifacts" if request.param == "memory" else None
    return environment(tmp_path, url)


@pytest.fixture
def store(where: WorkerEnvironment) -> ArtifactStore:
    return ArtifactStore(where.artifacts_url)


@pytest.fixture
def _in_stage(where: WorkerEnvironment) -> Iterator[None]:
    with stage(where):
        yield


@pytest.fixture
def local(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


in_stage = pytest.mark.usefixtures("_in_stage")


# --- values ---------------------------------------------------------------------------------------


@in_stage
@pytest.mark.parametrize(
    "value", [{"a": [1, None]}, "text", b"\x00", (1, {2}), None], ids=lambda v: type(v).__name__
)
def test_a_value_comes_back(value: object) -> None:
    artifacts.put("model", value)
    assert artifacts.get("model") == value


@in_stage
def test_frames_and_arrays_come_back() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    artifacts.put("table", frame, format="frame")
    artifacts.put("weights", np.arange(100_000.0))
    pd.testing.assert_frame_equal(artifacts.get("table"), frame)
    np.testing.assert_array_equal(artifacts.get("weights"), np.arange(100_000.0))
    assert [f.name for f in artifacts.get_artifact("table").files] == ["value.parquet"]
    assert [f.name for f in artifacts.get_artifact("weights").files] == ["value.npy"]


@in_stage
def test_a_new_value_replaces_the_old_one_whatever_its_format() -> None:
    artifacts.put("model", {"a": 1})
    artifacts.put("model", (1, 2))
    assert artifacts.get("model") == (1, 2)
    assert [f.name for f in artifacts.get_artifact("model").files] == ["value.pickle"]


@in_stage
def test_an_artifact_may_hold_several_files() -> None:
    artifacts.put("model", np.zeros(3), file="weights.npy")
    artifacts.put("model", {"depth": 2}, file="parameters.json")
    artifacts.put("model", (1, 2), file="anything.dat")
    assert artifacts.get("model", file="weights.npy").sum() == 0
    assert artifacts.get("model", file="parameters.json") == {"depth": 2}
    assert artifacts.get("model", file="anything.dat") == (1, 2)
    with pytest.raises(InvalidInput, match="3 files"):
        artifacts.get("model")


@in_stage
def test_a_single_file_is_the_value() -> None:
    artifacts.put("model", {"depth": 2}, file="parameters.json")
    assert artifacts.get("model") == {"depth": 2}


@in_stage
def test_what_is_missing_is_told() -> None:
    with pytest.raises(MissingArtifact, match="'model'"):
        artifacts.get("model")
    with pytest.raises(MissingArtifact):
        artifacts.get_artifact("model")
    with pytest.raises(MissingArtifact):
        artifacts.delete("model")
    artifacts.put("model", 1)
    with pytest.raises(MissingArtifact, match=r"'other\.json'"):
        artifacts.get("model", file="other.json")
    with pytest.raises(MissingArtifact):
        artifacts.delete("model", file="other.json")


@in_stage
def test_delete_deletes() -> None:
    artifacts.put("model", 1)
    artifacts.put("model", 2, file="b.json")
    artifacts.delete("model", file="b.json")
    assert artifacts.exists("model")
    assert not artifacts.exists("model", file="b.json")
    artifacts.delete("model")
    assert not artifacts.exists("model")
    assert artifacts.list_() == []
    artifacts.put("model", 3)
    assert artifacts.get("model") == 3


@in_stage
def test_artifacts_are_listed_by_name() -> None:
    for name in ("b", "a", "c"):
        artifacts.put(name, 1)
    assert [artifact.name for artifact in artifacts.list_artifacts()] == ["a", "b", "c"]
    assert artifacts.list_artifacts("elsewhere") == []


def test_namespaces_do_not_meet(where: WorkerEnvironment) -> None:
    with stage(where, namespace="one"):
        artifacts.put("model", 1)
    with stage(where, namespace="two"):
        assert not artifacts.exists("model")
        assert artifacts.get("model", namespace="one") == 1


def test_outside_a_stage_there_is_no_place_for_artifacts() -> None:
    with pytest.raises(OutsideStage):
        artifacts.put("model", 1)


@in_stage
def test_metadata_are_a_mapping_that_is_kept() -> None:
    artifacts.put("model", 1, metadata={"score": 0.5})
    artifact = artifacts.get_artifact("model")
    artifact.metadata["note"] = "good"
    assert dict(artifacts.get_artifact("model").metadata) == {"score": 0.5, "note": "good"}
    del artifact.metadata["score"]
    assert dict(artifact.metadata) == {"note": "good"}
    artifacts.put("model", 2)
    assert dict(artifact.metadata) == {"note": "good"}
    artifacts.put("model", 3, metadata={})
    assert dict(artifact.metadata) == {}


@in_stage
def test_metadata_that_are_not_json_or_too_large_are_refused() -> None:
    artifact = artifacts.put("model", 1)
    with pytest.raises(InvalidInput, match="JSON"):
        artifact.metadata["lock"] = threading.Lock()
    with pytest.raises(TooLarge):
        artifact.metadata["text"] = "x" * 2_000_000
    assert dict(artifact.metadata) == {}


@in_stage
def test_a_new_artifact_goes_on_with_what_is_there() -> None:
    artifacts.new_artifact("model", files={"a.bin": b"a", "b.bin": b"b"}, metadata={"n": 1})
    again = artifacts.new_artifact("model", files={"b.bin": b"c"})
    assert [file.name for file in again.files] == ["a.bin", "b.bin"]
    assert again.get("b.bin") == b"c"
    assert dict(again.metadata) == {"n": 1}
    empty = artifacts.new_artifact("empty")
    assert empty.files == []
    assert artifacts.exists("empty")


@in_stage
def test_files_are_written_and_read_in_with_blocks() -> None:
    with artifacts.open("notes", "a.txt", "w") as text:
        text.write("grüße\n")
    with artifacts.open("notes", "b.bin", "wb") as raw:
        raw.write(b"\x00")
    with artifacts.open("notes", "a.txt", "r") as text:
        assert text.read() == "grüße\n"
    with artifacts.open("notes", "b.bin") as raw:
        assert raw.read() == b"\x00"


@in_stage
@pytest.mark.parametrize("mode", ["a", "r+", "x"])
def test_an_unknown_mode_is_refused(mode: str) -> None:
    with pytest.raises(InvalidInput, match="mode"):
        artifacts.open("notes", "a.txt", mode)  # type: ignore[arg-type]


def write_half() -> None:
    with artifacts.open("notes", "a.json", "w") as text:
        text.write("half")
        _ = 1 / 0


@in_stage
def test_a_block_that_fails_leaves_the_old_file(store: ArtifactStore) -> None:
    artifacts.put("notes", {"a": 1}, file="a.json")
    with pytest.raises(ZeroDivisionError):
        write_half()
    assert artifacts.get("notes") == {"a": 1}
    assert [file.name for file in store.files("default", "notes")] == ["a.json"]


@in_stage
def test_a_value_that_cannot_be_stored_leaves_the_old_one() -> None:
    artifacts.put("model", {"a": 1})
    with pytest.raises(InvalidInput):
        artifacts.put("model", threading.Lock())
    with pytest.raises(InvalidInput):
        artifacts.put("model", {1, 2}, format="json")
    assert artifacts.get("model") == {"a": 1}


@in_stage
def test_a_failed_first_put_leaves_no_artifact() -> None:
    with pytest.raises(InvalidInput):
        artifacts.put("model", threading.Lock())
    assert not artifacts.exists("model")
    assert artifacts.list_() == []


# --- what is hostile ------------------------------------------------------------------------------

BAD_NAMES = [
    "../../etc/passwd", "..%2f", "%252e%252e", "..\\", "/abs", "a/../../b", ".", "", "a\0b",
    "x" * 300, "a.", "a ", "CON", "..", ".hidden", "\uff41",
]  # fmt: skip


@in_stage
@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_wherever_it_stands(name: str) -> None:
    with pytest.raises(InvalidName):
        artifacts.put(name, 1)
    with pytest.raises(InvalidName):
        artifacts.put("model", 1, file=name or "/")
    with pytest.raises(InvalidName):
        artifacts.get(name)
    with pytest.raises(InvalidName):
        artifacts.put("model", 1, namespace=name or "/")
    with pytest.raises(InvalidName):
        artifacts.delete(name)


@pytest.mark.parametrize(
    "url", ["simplecache::http://x/y", "nosuch://x", "memory://x::file:///etc", "filecache::s3://b"]
)
def test_chained_and_unknown_protocols_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        ArtifactStore(url)


def content(store: ArtifactStore, name: str, file: str) -> bytes:
    with store.open("default", name, file) as handle:
        return handle.read()


def local_folder(local: ArtifactStore, tmp_path: Path) -> Path:
    local.put_file("default", "model", "a.txt", [b"a"], 10)
    return tmp_path / "artifacts" / "default" / "model"


def test_a_link_to_a_file_is_as_good_as_missing(local: ArtifactStore, tmp_path: Path) -> None:
    folder = local_folder(local, tmp_path)
    (tmp_path / "secret").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(MissingArtifact):
        local.open("default", "model", "link.txt")
    assert [file.name for file in local.files("default", "model")] == ["a.txt"]


def test_a_link_to_a_folder_is_as_good_as_missing(local: ArtifactStore, tmp_path: Path) -> None:
    folder = local_folder(local, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "id_rsa").write_text("secret")
    (folder.parent / "link").symlink_to(tmp_path / "elsewhere")
    (folder.parent.parent / "ns").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MissingArtifact):
        local.open("default", "link", "id_rsa")
    with pytest.raises(MissingArtifact):
        local.files("default", "link")
    assert local.list_("ns") == []
    assert [info.name for info in local.list_("default")] == ["model"]
    with pytest.raises(FileNotFoundError):
        local.put_file("default", "link", "planted", [b"x"], 10)
    assert not (tmp_path / "elsewhere" / "planted").exists()


def test_writing_over_a_link_replaces_the_link(local: ArtifactStore, tmp_path: Path) -> None:
    folder = local_folder(local, tmp_path)
    (tmp_path / "secret").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    local.put_file("default", "model", "link.txt", [b"new"], 10)
    assert (tmp_path / "secret").read_text() == "secret"
    assert content(local, "model", "link.txt") == b"new"


def test_a_fifo_does_not_hang_the_reader(local: ArtifactStore, tmp_path: Path) -> None:
    folder = local_folder(local, tmp_path)
    os.mkfifo(folder / "pipe")
    with pytest.raises(MissingArtifact):
        local.open("default", "model", "pipe")


def test_deleting_does_not_follow_links(local: ArtifactStore, tmp_path: Path) -> None:
    folder = local_folder(local, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "keep").write_text("keep")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "deep").mkdir()
    local.delete("default", "model")
    assert (tmp_path / "elsewhere" / "keep").exists()
    assert not folder.exists()


def test_a_changed_pickle_is_not_loaded(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    evil = b"cos\nsystem\n(S'touch " + str(witness).encode() + b"'\ntR."
    with stage(environment(tmp_path)):
        artifacts.put("model", (1, 2))
        (tmp_path / "artifacts/default/model/value.pickle").write_bytes(evil)
        with pytest.raises(DamagedValue):
            artifacts.get("model")
    assert not witness.exists()


def test_an_uploaded_pickle_is_not_loaded(where: WorkerEnvironment, store: ArtifactStore) -> None:
    with stage(where):
        artifacts.put("model", (1, 2))
        store.put_file("default", "model", "value.pickle", [b"\x80\x05K\x01."], 100)
        with pytest.raises(DamagedValue):
            artifacts.get("model")
        store.put_file("default", "other", "x.pickle", [b"\x80\x05K\x01."], 100)
        with pytest.raises(DamagedValue):
            artifacts.get("other")


def test_an_uploaded_file_is_read_by_its_suffix(
    where: WorkerEnvironment, store: ArtifactStore
) -> None:
    store.put_file("default", "data", "rows.json", [b"[1,", b"2]"], 100)
    with stage(where):
        assert artifacts.get("data") == [1, 2]


def test_what_is_beside_a_file_may_be_damaged(local: ArtifactStore, tmp_path: Path) -> None:
    folder = local_folder(local, tmp_path)
    (folder / ".artifact.json").write_text('{"metadata": 5')
    (folder / ".about.a.txt").write_text("\x00")
    assert local.metadata("default", "model") == {}
    assert local.preview("default", "model").text == "a"


def test_files_are_private_whatever_the_umask(local: ArtifactStore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = local_folder(local, tmp_path)
        local.set_metadata("default", "model", {"a": 1})
    finally:
        os.umask(before)
    for path in [tmp_path / "artifacts", folder.parent, folder, *folder.iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


# --- bytes, as the daemon handles them ------------------------------------------------------------


def test_an_upload_over_the_limit_leaves_nothing(store: ArtifactStore) -> None:
    with pytest.raises(TooLarge):
        store.put_file("default", "big", "a.bin", (b"x" * 10 for _ in range(100)), 500)
    assert not store.exists("default", "big")
    assert store.put_file("default", "big", "a.bin", [b"x" * 500], 500).size_bytes == 500


def test_an_upload_that_breaks_off_leaves_the_old_file(store: ArtifactStore) -> None:
    store.put_file("default", "data", "a.bin", [b"old"], 100)

    def chunks() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put_file("default", "data", "a.bin", chunks(), 100)
    assert content(store, "data", "a.bin") == b"old"


def test_a_list_tells_files_and_sizes(store: ArtifactStore) -> None:
    store.put_file("default", "a", "x.bin", [b"xx"], 100)
    store.put_file("default", "a", "y.bin", [b"yyy"], 100)
    store.put_file("default", "b", "z.bin", [b""], 100)
    infos = store.list_("default")
    assert [(info.name, info.files, info.size_bytes) for info in infos] == [
        ("a", 2, 5),
        ("b", 1, 0),
    ]
    assert store.namespaces() == ["default"]
    assert all(info.modified_at.tzinfo for info in infos)


def test_a_preview_decodes_nothing(where: WorkerEnvironment, store: ArtifactStore) -> None:
    with stage(where):
        artifacts.put("table", pd.DataFrame({"a": [1, 2]}))
        artifacts.put("model", (1, 2))
        artifacts.put("rows", {"text": "x" * 100_000})
    table = store.preview("default", "table")
    assert (table.file, table.format, table.text) == ("value.parquet", "frame", None)
    assert table.about["columns"] == [["a", "int64"]]
    assert store.preview("default", "model").about == {"type": "tuple"}
    rows = store.preview("default", "rows", limit=100)
    assert rows.text == '{"text":"' + "x" * 91
    assert rows.truncated
    assert rows.size_bytes > 100_000


def test_who_wrote_an_artifact_is_kept(where: WorkerEnvironment, store: ArtifactStore) -> None:
    with stage(where):
        artifacts.put("model", 1)
    sidecar = store.sidecar("default", "model")
    assert (sidecar.run, sidecar.stage) == ("c" * 32, "fit")
    assert sidecar.created_at > 0


def test_what_a_killed_writer_left_is_swept(local: ArtifactStore, tmp_path: Path) -> None:
    folder = local_folder(local, tmp_path)
    for path in (folder / ".tmp-0123", folder.parent / ".trash-0123"):
        path.write_text("left")
        os.utime(path, (0, 0))
    (folder / ".tmp-fresh").write_text("being written")
    assert local.sweep(3600) == 2
    assert sorted(path.name for path in folder.iterdir()) == [".tmp-fresh", "a.txt"]


def test_readers_of_a_value_that_is_being_replaced_see_whole_values(tmp_path: Path) -> None:
    where, seen, failed = environment(tmp_path), [], []

    def write() -> None:
        for turn in range(30):
            artifacts.put("model", (turn, "x" * 1000))

    def read() -> None:
        try:
            for _ in range(60):
                seen.append(artifacts.get("model"))
        except Exception as error:
            failed.append(error)

    with stage(where):
        artifacts.put("model", (0, "x" * 1000))
        threads = [threading.Thread(target=work) for work in (write, read, read)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    assert {len(value[1]) for value in seen} == {1000}


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.parametrize(
    "value",
    ["np.zeros(100_000)", "'x' * 1_000_000", "(1, b'x' * 1_000_000)", "pd.DataFrame({'a': noise})"],
)
def test_no_room_fails_clearly_and_leaves_no_half_file(tmp_path: Path, value: str) -> None:
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path.cwd())!r})
import numpy as np, pandas as pd
from flowdapt import artifacts
from flowdapt.domain.errors import StorageFull
from tests.runtime.stage_calls import environment, stage
noise = np.random.default_rng(0).random(100_000)
with stage(environment(Path({str(tmp_path)!r}))):
    try:
        artifacts.put("model", {value})
    except StorageFull as error:
        print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limited
    )
    assert done.stdout.startswith("no space is left for artifact 'model'"), done.stderr
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


def test_storage_full_is_what_the_api_is_told(monkeypatch: pytest.MonkeyPatch, local) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        local.put_file("default", "data", "a.bin", [b"x"], 100)
    assert not local.exists("default", "data")


# --- object stores --------------------------------------------------------------------------------


class ObjectStoreOfTests(MemoryFileSystem):
    """A store that behaves as S3 does: no folders of its own, files appear when complete."""

    protocol = "oss"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    moves: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("oss://"))

    def mv(self, path1: str, path2: str, **kwargs: object) -> None:
        self.moves.append(path1)
        super().mv(path1, path2, **kwargs)


@pytest.fixture
def bucket() -> ArtifactStore:
    fsspec.register_implementation("oss", ObjectStoreOfTests, clobber=True)
    return ArtifactStore(f"oss://{uuid.uuid4().hex}")


def test_an_object_store_gets_whole_files_under_their_own_names(bucket: ArtifactStore) -> None:
    bucket.put_file("default", "data", "a.bin", [b"one", b"two"], 100)
    assert content(bucket, "data", "a.bin") == b"onetwo"
    assert [info.name for info in bucket.list_("default")] == ["data"]
    assert ObjectStoreOfTests.moves == [], "a rename is a copy there"
    with pytest.raises(TooLarge):
        bucket.put_file("default", "data", "a.bin", [b"x" * 200], 100)
    assert content(bucket, "data", "a.bin") == b"onetwo"
    bucket.delete("default", "data")
    assert bucket.list_("default") == []
