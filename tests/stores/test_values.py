"""The daemon moves, joins, counts and deletes the files of values, and never decodes a pickle."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowdapt.domain.errors import InvalidInput, InvalidName, NotFound, StorageFull
from flowdapt.domain.task import Part, ValueRef
from flowdapt.runtime import values
from flowdapt.stores.values import FileValueStore

pytestmark = pytest.mark.trio

ALL = 1 << 30


@pytest.fixture
def store(tmp_path: Path) -> FileValueStore:
    return FileValueStore(tmp_path)


def encode(folder: Path, value: Any, name: str = "run/stage", inline: int = 0) -> ValueRef:
    return values.encode(value, str(folder), name, inline_max_bytes=inline)


async def streamed(store: FileValueStore, ref: ValueRef) -> bytes:
    return b"".join([piece async for piece in store.iter_json(ref)])


@pytest.mark.parametrize("inline", [0, ALL])
async def test_json_comes_as_text(store: FileValueStore, tmp_path: Path, inline: int) -> None:
    ref = encode(tmp_path, {"a": [1, "ä"]}, inline=inline)
    assert await store.json_text(ref, limit_bytes=ALL) == '{"a":[1,"ä"]}'.encode()
    assert await streamed(store, ref) == '{"a":[1,"ä"]}'.encode()
    assert await store.json_text(ref, limit_bytes=5) is None


@pytest.mark.parametrize("inline", [0, ALL])
async def test_what_is_not_json_has_no_text(
    store: FileValueStore, tmp_path: Path, inline: int
) -> None:
    ref = encode(tmp_path, (1, 2), inline=inline)
    assert await store.json_text(ref, limit_bytes=ALL) is None
    with pytest.raises(InvalidInput, match="not JSON"):
        await streamed(store, ref)


async def test_a_missing_file_is_not_found(store: FileValueStore, tmp_path: Path) -> None:
    ref = encode(tmp_path, [1])
    (tmp_path / ref.location).unlink()
    with pytest.raises(NotFound):
        await store.json_text(ref, limit_bytes=ALL)
    with pytest.raises(NotFound):
        await streamed(store, ref)
    spilled = ValueRef("file", "parts", location="run/none.parts", size_bytes=3)
    with pytest.raises(NotFound):
        await store.json_text(spilled, limit_bytes=ALL)


def in_parts(folder: Path) -> ValueRef:
    """Seven items: a file, an override inside it, an inline part, and holes."""
    return ValueRef(
        "parts",
        length=7,
        parts=(
            Part(0, 4, encode(folder, [0, {"one": 1}, 2, 3], "run/a")),
            Part(2, 3, encode(folder, ["two"], "run/b", ALL)),
            Part(5, 6, encode(folder, [[5]], "run/c", ALL)),
        ),
    )


JOINED = [0, {"one": 1}, "two", 3, None, [5], None]


async def test_parts_are_joined_as_a_worker_would(store: FileValueStore, tmp_path: Path) -> None:
    ref = in_parts(tmp_path)
    for value in (ref, await store.spill("run", "list", ref)):
        text = await store.json_text(value, limit_bytes=ALL)
        assert text is not None
        assert msgspec.json.decode(text) == values.decode(value, str(tmp_path)) == JOINED
        assert await streamed(store, value) == text
        assert await store.json_text(value, limit_bytes=10) is None


async def test_one_part_that_is_not_json_makes_the_whole_so(
    store: FileValueStore, tmp_path: Path
) -> None:
    ref = in_parts(tmp_path)
    odd = Part(6, 7, encode(tmp_path, [(6,)], "run/d"))
    ref = msgspec.structs.replace(ref, parts=(*ref.parts, odd))
    assert await store.json_text(ref, limit_bytes=ALL) is None
    with pytest.raises(InvalidInput):
        await streamed(store, ref)


@pytest.mark.parametrize("length", [0, 3])
async def test_a_list_without_parts_is_empty_or_nulls(store: FileValueStore, length: int) -> None:
    ref = ValueRef("parts", length=length)
    text = await store.json_text(ref, limit_bytes=ALL)
    assert msgspec.json.decode(text or b"") == [None] * length


async def test_a_mapping_of_leaves_is_an_object(store: FileValueStore, tmp_path: Path) -> None:
    parts = (Part(0, 1, encode(tmp_path, [1], "run/x")), Part(1, 2, in_parts(tmp_path)))
    ref = ValueRef("mapping", names=('a"b', "c"), parts=parts)
    text = await store.json_text(ref, limit_bytes=ALL)
    assert msgspec.json.decode(text or b"") == {'a"b': [1], "c": JOINED}
    assert await store.json_text(ValueRef("mapping"), limit_bytes=ALL) == b"{}"


@pytest.mark.parametrize("value", [[1, 2], (1, 2)], ids=repr)
async def test_a_spilled_value_means_the_same(
    store: FileValueStore, tmp_path: Path, value: Any
) -> None:
    spilled = await store.spill("run", "input", encode(tmp_path, value, inline=ALL))
    assert spilled.kind == "file"
    assert spilled.data == b""
    assert values.decode(spilled, str(tmp_path)) == value
    assert await store.spill("run", "again", spilled) == spilled


async def test_missing_files_and_files_of_another_size_are_found(
    store: FileValueStore, tmp_path: Path
) -> None:
    good = encode(tmp_path, [1], "run/good")
    gone = encode(tmp_path, [1], "run/gone")
    cut = encode(tmp_path, [1, 2, 3], "run/cut")
    inline = encode(tmp_path, 1, inline=ALL)
    parts = in_parts(tmp_path)
    (tmp_path / gone.location).unlink()
    os.truncate(tmp_path / cut.location, 2)
    assert await store.missing([good, gone, cut, inline, parts]) == [gone, cut]
    (tmp_path / "run/a.json").unlink()
    assert await store.missing([good, parts]) == [parts]
    assert await store.missing([inline]) == []


async def test_an_adopted_value_outlives_its_first_run(
    store: FileValueStore, tmp_path: Path
) -> None:
    array = encode(tmp_path, (1, 2), "old/array")
    inline = encode(tmp_path, 5, inline=ALL)
    listed = await store.spill("old", "list", in_parts(tmp_path))
    held = await store.adopt("new", [array, inline, listed])
    again = await store.adopt("new", [array, inline, listed])
    assert held == again
    assert held[1] == inline
    await store.delete_run("old")
    await store.delete_run("run")
    assert await store.missing(held) == []
    assert values.decode(held[0], str(tmp_path)) == (1, 2)
    assert values.decode(held[2], str(tmp_path)) == JOINED
    await store.delete_run("new")
    assert await store.missing(held) == [held[0], held[2]]


async def test_what_is_gone_cannot_be_adopted(store: FileValueStore, tmp_path: Path) -> None:
    ref = encode(tmp_path, (1, 2), "old/array")
    await store.delete_run("old")
    with pytest.raises(NotFound):
        await store.adopt("new", [ref])


async def test_an_adopted_file_is_not_the_new_runs_own(
    store: FileValueStore, tmp_path: Path
) -> None:
    old = encode(tmp_path, (1,), "old/stage")
    (held,) = await store.adopt("new", [old])
    encode(tmp_path, (2,), "new/stage")
    assert values.decode(held, str(tmp_path)) == (1,)


async def test_an_unknown_run_is_deleted_quietly(store: FileValueStore) -> None:
    await store.delete_run("never-was")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\0b"])
async def test_no_name_leads_outside(store: FileValueStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidName):
        await store.delete_run(name)
    with pytest.raises(InvalidName):
        await store.spill(name, "x", ValueRef("inline", data=b"1"))


async def test_folders_of_no_known_run_are_orphans_when_they_are_old(
    store: FileValueStore, tmp_path: Path
) -> None:
    for run in ("known", "lost", "fresh"):
        encode(tmp_path, [1], f"{run}/x")
        if run != "fresh":
            os.utime(tmp_path / run, (1, 1))
    assert await store.orphans(["known"], older_than_s=3600) == ["lost"]


async def test_nothing_is_an_orphan_where_nothing_is(tmp_path: Path) -> None:
    assert await FileValueStore(tmp_path / "none").orphans([], older_than_s=0) == []


async def test_a_full_disk_is_named(
    store: FileValueStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFull):
        await store.spill("run", "x", ValueRef("inline", data=b"1"))
    assert list((tmp_path / "run").iterdir()) == []
