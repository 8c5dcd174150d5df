"""A value becomes a reference and a value again: inline, in a file, in parts, mapped without a copy."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from flowdapt.domain.errors import DamagedValue, UnreadableValue, UnstorableResult
from flowdapt.domain.task import Part, ValueRef
from flowdapt.runtime import values

VALUES = [
    None,
    [1, 2.5, "ä"],
    {"a": {"b": []}},
    (1, 2),
    {"tuple": (1, (2, 3))},
    b"\0\xff",
    {1, 2},
]


def encode(folder: Path, value: Any, inline: int = 64 * 1024, **more: Any) -> ValueRef:
    return values.encode(value, str(folder), "run/stage", inline_max_bytes=inline, **more)


def decode(folder: Path, ref: ValueRef) -> Any:
    return values.decode(ref, str(folder))


@pytest.mark.parametrize("inline", [0, 64 * 1024])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back(tmp_path: Path, value: Any, inline: int) -> None:
    ref = encode(tmp_path, value, inline)
    found = decode(tmp_path, ref)
    assert found == value
    assert type(found) is type(value)
    assert ref.kind == ("inline" if inline else "file")


def test_a_reference_survives_its_own_journey(tmp_path: Path) -> None:
    ref = encode(tmp_path, (1, "x"), 0)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(ref), type=ValueRef)
    assert again == ref


def test_length_counts_lists_and_tuples_only(tmp_path: Path) -> None:
    assert encode(tmp_path, [1, 2]).length == 2
    assert encode(tmp_path, (1, 2, 3)).length == 3
    assert encode(tmp_path, {"a": 1}).length is None


def test_an_array_is_mapped_and_may_be_changed_in_place(tmp_path: Path) -> None:
    array = np.arange(100_000, dtype="f8")
    ref = encode(tmp_path, {"first": array, "second": array[::2].copy(), "small": np.ones(3)})
    assert ref.kind == "file"
    one, other = decode(tmp_path, ref), decode(tmp_path, ref)
    one["first"] += 1
    one["small"] += 1
    assert np.array_equal(other["first"], array)
    assert np.array_equal(other["second"], array[::2])
    assert np.array_equal(decode(tmp_path, ref)["first"], array)
    assert not one["first"].flags.owndata
    address = one["first"].__array_interface__["data"][0]
    assert address % 4096 == 0


def test_a_small_array_travels_inline(tmp_path: Path) -> None:
    ref = encode(tmp_path, np.arange(5000))
    assert ref.kind == "inline"
    assert decode(tmp_path, ref).sum() == sum(range(5000))


def test_an_array_that_may_not_be_written_stays_so(tmp_path: Path) -> None:
    array = np.arange(100_000)
    array.flags.writeable = False
    assert not decode(tmp_path, encode(tmp_path, array)).flags.writeable


def test_functions_go_by_value(tmp_path: Path) -> None:
    factor = 3
    ref = encode(tmp_path, lambda x: x * factor)
    assert decode(tmp_path, ref)(2) == 6


def test_a_preview_tells_type_and_shape(tmp_path: Path) -> None:
    shown = msgspec.json.decode(encode(tmp_path, np.zeros((300, 2))).preview)
    assert shown["type"] == "numpy.ndarray"
    assert shown["shape"] == [300, 2]
    assert shown["dtype"] == "float64"
    assert msgspec.json.decode(encode(tmp_path, (1, 2)).preview)["head"] == "(1, 2)"


class Awkward:
    """Lies about everything that a preview looks at."""

    @property
    def shape(self) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


def test_a_preview_survives_an_awkward_object(tmp_path: Path) -> None:
    shown = msgspec.json.decode(encode(tmp_path, [Awkward()]).preview)
    assert shown["type"] == "builtins.list"
    assert msgspec.json.decode(encode(tmp_path, Awkward()).preview)["type"].endswith("Awkward")


def test_the_culprit_is_named_by_its_path(tmp_path: Path) -> None:
    generator = (n for n in range(3))
    with pytest.raises(UnstorableResult, match=r"result\['models'\]\[1\]\.rows is a .*generator"):
        encode(tmp_path, {"ok": 1, "models": [0, Holder(generator)]})


class Holder:
    def __init__(self, rows: Any) -> None:
        self.rows = rows


def test_no_half_file_is_left_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        encode(tmp_path, "x" * 1000, 0)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_durable_file_is_flushed_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    encode(tmp_path, "x" * 1000, 0)
    assert flushed == []
    (tmp_path / "run" / "stage.json").unlink()
    (tmp_path / "run").rmdir()
    encode(tmp_path, "x" * 1000, 0, durable=True)
    assert [Path(name).name for name in flushed] == [
        tmp_path.name,
        f".stage.json.{os.getpid()}.tmp",
        "run",
    ]


# --- what was changed -----------------------------------------------------------------------------


class Tattler:
    """Leaves a file behind when it is read."""

    def __init__(self, witness: str) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return (_tattle, (self.witness,))


def _tattle(witness: str) -> str:
    Path(witness).touch()
    return "read"


@pytest.mark.parametrize("where", [0, 10, 25, -1])
def test_one_changed_byte_is_found_before_unpickling(tmp_path: Path, where: int) -> None:
    witness = tmp_path / "witness"
    ref = encode(tmp_path, [Tattler(str(witness))], 0)
    witness.unlink()
    path = tmp_path / ref.location
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedValue):
        decode(tmp_path, ref)
    assert not witness.exists()


def test_a_swapped_file_is_found(tmp_path: Path) -> None:
    one = values.encode((1,), str(tmp_path), "run/one", inline_max_bytes=0)
    other = values.encode((2,), str(tmp_path), "run/two", inline_max_bytes=0)
    (tmp_path / other.location).rename(tmp_path / one.location)
    with pytest.raises(DamagedValue, match="sha256"):
        decode(tmp_path, one)


def test_a_cut_or_missing_file_is_found(tmp_path: Path) -> None:
    ref = encode(tmp_path, (1,), 0)
    path = tmp_path / ref.location
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedValue, match="bytes"):
        decode(tmp_path, ref)
    path.unlink()
    with pytest.raises(DamagedValue, match="gone"):
        decode(tmp_path, ref)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    head = pickle.dumps(np.ones(2)).replace(b"numpy", b"mumpy")
    with pytest.raises(UnreadableValue, match="mumpy"):
        decode(tmp_path, ValueRef("inline", "pickle", head))


# --- parts ----------------------------------------------------------------------------------------


def test_parts_are_joined_and_later_ones_override(tmp_path: Path) -> None:
    whole = ValueRef(
        "parts",
        length=5,
        parts=(
            Part(0, 3, encode(tmp_path, [0, 1, 2])),
            Part(3, 4, encode(tmp_path, [(3,)])),
            Part(1, 2, encode(tmp_path, ["one"])),
        ),
    )
    assert decode(tmp_path, whole) == [0, "one", 2, (3,), None]
    spilled = values.store_parts(whole, str(tmp_path), "run/list")
    assert spilled.kind == "file"
    assert decode(tmp_path, spilled) == [0, "one", 2, (3,), None]


def test_a_part_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    parts = (Part(0, 3, encode(tmp_path, [0, 1])),)
    with pytest.raises(DamagedValue):
        decode(tmp_path, ValueRef("parts", length=3, parts=parts))


def test_a_mapping_has_a_value_for_each_name(tmp_path: Path) -> None:
    parts = (Part(0, 1, encode(tmp_path, 1)), Part(1, 2, encode(tmp_path, (2,))))
    assert decode(tmp_path, ValueRef("mapping", names=("a", "b"), parts=parts)) == {
        "a": 1,
        "b": (2,),
    }


@pytest.mark.parametrize("value", [[1, 2], (1, 2)], ids=repr)
def test_an_inline_value_moves_to_a_file_undecoded(tmp_path: Path, value: Any) -> None:
    inline = encode(tmp_path, value)
    moved = values.store_inline(inline, str(tmp_path), "run/moved")
    assert moved.kind == "file"
    assert moved.data == b""
    assert decode(tmp_path, moved) == value
