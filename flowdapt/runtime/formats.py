"""Decide how a value becomes a file and a file a value: Parquet, npy, JSON, bytes, pickle last.

Libraries are imported when a value of theirs is met. More formats come from plugins, as import strings.
"""

from __future__ import annotations

import importlib
import json
import math
import pickle
from abc import ABC, abstractmethod
from types import SimpleNamespace
from typing import IO, Any, ClassVar

from flowdapt.domain.errors import InvalidInput
from flowdapt.runtime.json_values import find_json

__all__ = ["Format", "format_for", "format_of_file", "get_format", "register"]

HEAD_ROWS = 5
HEAD_VALUES = 20
HEAD_CHARS = 2000


class Format(ABC):
    """One way to store values in files.

    A plugin derives from it and names the class in its `flowdapt_formats` hook. `read` must be safe
    on hostile bytes unless `trusted_only` is set: then only files that `put` itself wrote, with an
    unchanged hash, are read.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    trusted_only: ClassVar[bool] = False

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Say whether this format is the natural one for the value; must not import anything."""

    @abstractmethod
    def write(self, value: Any, file: IO[bytes]) -> None:
        """Write the value. Raise InvalidInput when it cannot be represented."""

    @abstractmethod
    def read(self, file: IO[bytes]) -> Any:
        """Return the value; the file is seekable. Raise InvalidInput when it is not in this format."""

    def describe(self, value: Any) -> dict[str, Any]:
        """Return what a preview shows: JSON values, small."""
        return {"type": _type_name(value)}


class FrameFormat(Format):
    """pandas frames as Parquet."""

    name = "frame"
    suffix = ".parquet"

    def accepts(self, value: Any) -> bool:
        return _is_from(value, "pandas", "DataFrame")

    def write(self, value: Any, file: IO[bytes]) -> None:
        arrow, parquet = _pyarrow()
        if not self.accepts(value):
            raise InvalidInput(f"{_type_name(value)} is not a pandas frame", fix=_FORMAT_FIX)
        try:
            table = arrow.Table.from_pandas(value)
        except (arrow.ArrowException, ValueError, TypeError) as error:
            raise InvalidInput(
                f"this frame has no Parquet form: {error}",
                fix='make its columns of one type each, or store it with format="pickle"',
            ) from error
        parquet.write_table(table, file)

    def read(self, file: IO[bytes]) -> Any:
        arrow, parquet = _pyarrow()
        try:
            return parquet.read_table(file).to_pandas()
        except arrow.ArrowInvalid as error:
            raise InvalidInput(f"not a Parquet file: {error}") from error

    def describe(self, value: Any) -> dict[str, Any]:
        head = value.head(HEAD_ROWS)
        return {
            "type": _type_name(value),
            "shape": list(value.shape),
            "columns": [[str(name), str(kind)] for name, kind in value.dtypes.items()],
            "index": [str(label)[:HEAD_CHARS] for label in head.index],
            "head": [[_shown(cell) for cell in row] for row in head.itertuples(index=False)],
        }


class ArrayFormat(Format):
    """numpy arrays as npy, never with objects inside."""

    name = "array"
    suffix = ".npy"

    def accepts(self, value: Any) -> bool:
        # A subclass (masked, record, matrix) would come back as a plain array.
        kind = type(value)
        is_array = kind.__module__ == "numpy" and kind.__name__ in {"ndarray", "memmap"}
        return is_array and not bool(value.dtype.hasobject)

    def write(self, value: Any, file: IO[bytes]) -> None:
        numpy = _numpy()
        try:
            # Given a real file, numpy writes past Python and loses the reason when the disk is full.
            numpy.save(SimpleNamespace(write=file.write), value, allow_pickle=False)
        except ValueError as error:
            raise InvalidInput(f"this value has no npy form: {error}", fix=_FORMAT_FIX) from error

    def read(self, file: IO[bytes]) -> Any:
        numpy, magic = _numpy(), file.read(6)
        file.seek(0)
        # numpy.load also opens zip archives, which may unfold to any size.
        if magic != b"\x93NUMPY":
            raise InvalidInput("not an npy file")
        try:
            return numpy.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise InvalidInput(f"not an npy file of plain values: {error}") from error

    def describe(self, value: Any) -> dict[str, Any]:
        array = _numpy().asarray(value)
        head = array.reshape(-1)[:HEAD_VALUES].tolist()
        return {
            "type": _type_name(value),
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "head": [_shown(cell) for cell in head],
        }


class JsonFormat(Format):
    """Plain values as JSON text. Asked for by name it also takes tuples and numpy's numbers."""

    name = "json"
    suffix = ".json"

    def accepts(self, value: Any) -> bool:
        return find_json(value) is not None

    def write(self, value: Any, file: IO[bytes]) -> None:
        file.write(find_json(value) or self._closest(value))

    def _closest(self, value: Any) -> bytes:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_as_plain)
            return text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"this value has no JSON form: {error}", fix=_FORMAT_FIX) from error

    def read(self, file: IO[bytes]) -> Any:
        try:
            return json.loads(file.read())
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"not a JSON text: {error}") from error

    def describe(self, value: Any) -> dict[str, Any]:
        sized = isinstance(value, dict | list | tuple)
        return super().describe(value) | ({"length": len(value)} if sized else {})


class BytesFormat(Format):
    """Bytes as they are."""

    name = "bytes"
    suffix = ".bin"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bytes | bytearray | memoryview)

    def write(self, value: Any, file: IO[bytes]) -> None:
        if not self.accepts(value):
            raise InvalidInput(f"{_type_name(value)} is not bytes", fix=_FORMAT_FIX)
        file.write(value)

    def read(self, file: IO[bytes]) -> Any:
        return file.read()

    def describe(self, value: Any) -> dict[str, Any]:
        return {"type": _type_name(value), "length": len(value)}


class PickleFormat(Format):
    """Anything else, as pickle protocol 5; cloudpickle where the plain one gives up."""

    name = "pickle"
    suffix = ".pickle"
    trusted_only = True

    def accepts(self, value: Any) -> bool:
        return True

    def write(self, value: Any, file: IO[bytes]) -> None:
        start = file.tell()
        try:
            pickle.dump(value, file, protocol=5)
        except (pickle.PicklingError, AttributeError, TypeError):
            file.seek(start)
            file.truncate()
            self._write_by_value(value, file)

    def _write_by_value(self, value: Any, file: IO[bytes]) -> None:
        import cloudpickle

        try:
            cloudpickle.dump(value, file, protocol=5)
        except Exception as error:  # __reduce__ may raise anything
            raise InvalidInput(f"{_type_name(value)} cannot be pickled: {error}") from error

    def read(self, file: IO[bytes]) -> Any:
        return pickle.load(file)  # noqa: S301  (only what put wrote, with its hash: see trusted_only)


_FORMAT_FIX = "leave format out to have it chosen by the value's type"
_BUILT_IN = (JsonFormat(), FrameFormat(), ArrayFormat(), BytesFormat(), PickleFormat())
# In order of asking; a plugin's formats are asked before the built-in ones.
_formats: dict[str, Format] = {one.name: one for one in _BUILT_IN}


def register(new: Format) -> None:
    """Add a format, or replace the one of that name."""
    others = {name: old for name, old in _formats.items() if name != new.name}
    _formats.clear()
    _formats.update({new.name: new} | others)


def get_format(name: str) -> Format:
    """Return the format of that name; raise InvalidInput naming those that exist."""
    if (found := _formats.get(name)) is None:
        raise InvalidInput(f"no format {name!r}; there are {', '.join(sorted(_formats))}")
    return found


def format_for(value: Any) -> Format:
    """Return the natural format of a value: the first that accepts it."""
    return next(one for one in _formats.values() if one.accepts(value))


def format_of_file(file: str) -> Format:
    """Return the format that a file's suffix names; bytes when none does."""
    return next((one for one in _formats.values() if file.endswith(one.suffix)), _formats["bytes"])


def _as_plain(value: Any) -> Any:
    """Give numpy's numbers and arrays their plain form."""
    if _is_from(value, "numpy", "ndarray"):
        return value.tolist()
    if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{_type_name(value)} is not JSON")


def _shown(cell: Any) -> bool | int | float | str | None:
    if isinstance(cell, bool | int | type(None)):
        return cell
    if isinstance(cell, float) and math.isfinite(cell):
        return float(cell)
    return str(cell)[:HEAD_CHARS]


def _is_from(value: Any, package: str, name: str) -> bool:
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == package
        for kind in type(value).__mro__
    )


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _numpy() -> Any:
    return _library("numpy", "arrays")


def _pyarrow() -> tuple[Any, Any]:
    _library("pandas", "frames")
    return _library("pyarrow", "frames"), _library("pyarrow.parquet", "frames")


def _library(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(error.name or name, what) from error


def _missing(library: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} need {library}, which is not installed",
        fix="python -m pip install 'flowdapt[frames]'",
        code="artifact.library_missing",
    )
