"""How values become files: by type, faithfully, and safely on hostile bytes."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from flowdapt.domain.errors import InvalidInput
from flowdapt.runtime import formats
from flowdapt.runtime.formats import Format, format_for, format_of_file, get_format, register


def there_and_back(value: object, name: str | None = None) -> object:
    chosen = get_format(name) if name else format_for(value)
    file = io.BytesIO()
    chosen.write(value, file)
    file.seek(0)
    return chosen.read(file)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"a": [1, 2.5, None, True, "ü"]}, "json"),
        ([], "json"),
        ("text", "json"),
        (None, "json"),
        (b"\x00\xff", "bytes"),
        ((1, 2), "pickle"),
        ({1: 2}, "pickle"),
        ([math.inf], "pickle"),
        ("\ud800", "pickle"),
        (Decimal(1), "pickle"),
        (np.float64(1.5), "pickle"),
        (np.arange(3), "array"),
        (np.array([object()]), "pickle"),
        (pd.DataFrame({"a": [1]}), "frame"),
        (pd.Series([1]), "pickle"),
    ],
)
def test_the_type_of_a_value_decides(value: object, name: str) -> None:
    assert format_for(value).name == name


@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True, "ü"]}, "x", b"\x00\xff", (1, 2), {1: 2}, {1, 2}]
)
def test_a_plain_value_comes_back_equal_and_of_its_type(value: object) -> None:
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype="<f4").reshape(3, 4),
        np.array(5.0),
        np.zeros((0, 3)),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.array(["2026-01-01"], dtype="datetime64[s]"),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    ],
    ids=lambda array: str(array.dtype),
)
def test_an_array_comes_back_equal(array: np.ndarray) -> None:
    found = there_and_back(array)
    assert isinstance(found, np.ndarray)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, float("nan")]}),
        pd.DataFrame({"a": pd.date_range("2026-01-01", periods=3, tz="Europe/Berlin")}),
        pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
        pd.DataFrame({"a": pd.Categorical(["x", "y", "x"])}),
        pd.DataFrame({"a": []}),
        pd.DataFrame({0: [1.0], 1: [2.0]}),
        pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)])),
    ],
    ids=["mixed", "times", "index", "categories", "empty", "numbered", "two-levels"],
)
def test_a_frame_comes_back_equal(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(there_and_back(frame), frame)


def test_a_frame_without_a_parquet_form_is_refused_with_a_way_out() -> None:
    with pytest.raises(InvalidInput, match="no Parquet form") as caught:
        there_and_back(pd.DataFrame({"a": [1, "x", object()]}))
    assert "pickle" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1, 2}, "json"),
        (float("nan"), "json"),
        ([1], "frame"),
        (np.array([object()]), "array"),
        (object(), "array"),
        ("text", "bytes"),
        (iter([]), "pickle"),
    ],
)
def test_a_value_that_does_not_fit_the_asked_format_is_refused(value: object, name: str) -> None:
    if name == "pickle":
        value = (one for one in [1])
    with pytest.raises(InvalidInput):
        there_and_back(value, name)


def test_json_by_name_takes_tuples_and_numbers_of_numpy() -> None:
    value = {"a": (1, np.int64(2)), "b": np.float32(0.5), "c": np.arange(2)}
    assert there_and_back(value, "json") == {"a": [1, 2], "b": 0.5, "c": [0, 1]}


def test_functions_are_pickled_by_value() -> None:
    assert there_and_back(lambda x: x + 1, "pickle")(1) == 2


HOSTILE = [b"", b"\x00" * 100, b"PK\x03\x04" + b"\x00" * 100, b"\x80\x05K\x01.", b"PAR1xxxxPAR1"]


@pytest.mark.parametrize("content", HOSTILE)
@pytest.mark.parametrize("name", ["json", "array", "frame"])
def test_bytes_that_are_not_in_the_format_are_refused(name: str, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        get_format(name).read(io.BytesIO(content))


def test_a_deep_json_text_is_refused() -> None:
    with pytest.raises(InvalidInput):
        get_format("json").read(io.BytesIO(b"[" * 200_000))


def test_arrays_with_objects_inside_are_never_unpickled() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    file.seek(0)
    with pytest.raises(InvalidInput):
        get_format("array").read(file)


def test_an_archive_of_arrays_is_not_opened() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.zeros(10))
    file.seek(0)
    with pytest.raises(InvalidInput, match="not an npy file"):
        get_format("array").read(file)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="array, bytes, frame, json, pickle"):
        get_format("parquet")


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.parquet", "frame"), ("a.npy", "array"), ("a.json", "json"), ("a.onnx", "bytes")],
)
def test_a_files_suffix_tells_the_format(file: str, name: str) -> None:
    assert format_of_file(file).name == name


def test_what_a_preview_shows_is_json_and_small() -> None:
    frame = pd.DataFrame({"a": range(1000), "b": ["x" * 10_000] * 1000})
    for value in (frame, np.arange(100_000.0), np.array([np.nan]), {"a": 1}, b"x", (1,)):
        about = format_for(value).describe(value)
        assert len(json.dumps(about, allow_nan=False)) < 60_000, about
    assert format_for(frame).describe(frame)["shape"] == [1000, 2]
    assert format_for(frame).describe(frame)["columns"][0] == ["a", "int64"]


class Reversed(Format):
    name = "reversed"
    suffix = ".rev"

    def accepts(self, value: object) -> bool:
        return isinstance(value, str) and value.startswith("!")

    def write(self, value: str, file: io.BytesIO) -> None:
        file.write(value[::-1].encode())

    def read(self, file: io.BytesIO) -> str:
        return file.read().decode()[::-1]


@pytest.fixture
def _only_built_in_formats():
    before = dict(formats._formats)
    yield
    formats._formats.clear()
    formats._formats.update(before)


@pytest.mark.usefixtures("_only_built_in_formats")
def test_a_format_of_a_plugin_is_asked_first() -> None:
    register(Reversed())
    assert format_for("!abc").name == "reversed"
    assert format_for("abc").name == "json"
    assert there_and_back("!abc") == "!abc"
    assert format_of_file("x.rev").name == "reversed"


@pytest.mark.parametrize(
    ("name", "library"), [("frame", "pyarrow"), ("frame", "pandas"), ("array", "numpy")]
)
def test_a_missing_library_is_named_with_its_extra(name: str, library: str) -> None:
    code = f"""
import io, sys
sys.modules[{library!r}] = None
from flowdapt.domain.errors import InvalidInput
from flowdapt.runtime.formats import get_format
try:
    get_format({name!r}).read(io.BytesIO(b""))
except InvalidInput as error:
    print(error.message, "|", error.fix)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert library in done.stdout
    assert "flowdapt[frames]" in done.stdout


def test_formats_are_loaded_without_the_libraries() -> None:
    code = """
import sys
import flowdapt.runtime.formats
print(sorted({"numpy", "pandas", "pyarrow", "cloudpickle"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
