"""Decide how words become values: `k=v` pairs, times ago, files and standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flowdapt.cli.usage import UsageProblem, closest
from flowdapt.domain.errors import NotFound

__all__ = [
    "FIRE_STATES",
    "RUN_STATES",
    "count",
    "duration_s",
    "fire_state",
    "inputs_of",
    "moment_ago",
    "open_pairs",
    "read_bytes",
    "read_document",
    "read_pairs",
    "run_state",
    "value_of",
]

# What is no JSON is a text, and `NaN` is one too: no JSON knows it.
_NO_JSON = frozenset({"document.syntax", "document.not_finite"})
FIRE_STATES = ("started", "waiting", "skipped", "missed", "failed")
RUN_STATES = ("queued", "running", "cancelling", "finished", "failed", "cancelled")


def value_of(text: str) -> Any:
    """Return a JSON value where the text is one, else the text itself."""
    from flowdapt.domain.json_reading import read_json
    from flowdapt.domain.positions import TextProblem

    try:
        return read_json(text)
    except TextProblem as error:
        if error.code in _NO_JSON:
            return text
        raise UsageProblem(f"{text[:60]!r}: {error.message}", fix=error.fix) from None


def read_pairs(pairs: Sequence[str], what: str = "--input") -> dict[str, Any]:
    """Read `name=value` words."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageProblem(f"{what} {pair!r} is not name=value", fix=f"write {what} name=value")
        found[name] = value_of(text)
    return found


def open_pairs(words: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """Read `--name value`, `--name=value` and a lone `--name` (true), as `run` takes input.

    A name that is almost a known option is refused: it was more likely a slip.
    """
    found: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise UsageProblem(f"{word!r} is not understood here", fix="flowdapt run --help")
        name, equals, text = word[2:].partition("=")
        _refuse_slip(name, known)
        if equals:
            found[name] = value_of(text)
        elif rest and not rest[0].startswith("--"):
            found[name] = value_of(rest.pop(0))
        else:
            found[name] = True
    return found


def _refuse_slip(name: str, known: Sequence[str]) -> None:
    import difflib

    near = closest(f"--{name}", known)
    if near and len(name) > 3 and difflib.SequenceMatcher(None, f"--{name}", near).ratio() > 0.85:  # noqa: PLR2004 - one letter off
        raise UsageProblem(
            f"there is no option --{name}",
            suggestion=near,
            fix=f"if it is an input of the workflow: --input {name}=…",
        )


def inputs_of(pairs: Sequence[str], file: Path | None, words: dict[str, Any]) -> dict[str, Any]:
    """Join the input from a file, from --input and from open options; later ones win."""
    found: dict[str, Any] = {}
    if file is not None:
        value = _parsed(read_document(file), str(file))
        if not isinstance(value, dict):
            raise UsageProblem(f"{file} holds no mapping", fix="write {name: value, …}")
        found |= value
    return found | read_pairs(pairs) | words


def _parsed(text: bytes, source: str) -> Any:
    """Read JSON or YAML as strictly as documents are read."""
    from flowdapt.domain.documents import read_value

    return read_value(text, source)


def read_document(path: Path) -> bytes:
    """Read a file of documents or input; of one without end no more than is refused."""
    from flowdapt.domain.positions import MAX_TEXT_BYTES

    return read_bytes(path, MAX_TEXT_BYTES + 1)


def read_bytes(path: Path, most: int = -1) -> bytes:
    """Read a file, or standard input for `-`, to its end or to `most` bytes."""
    if str(path) == "-":
        return sys.stdin.buffer.read(most)
    try:
        with path.open("rb") as file:
            return file.read(most)
    except FileNotFoundError:
        near = closest(path.name, _names_beside(path))
        raise NotFound(
            f"there is no file {path}",
            code="file.missing",
            fix=f"did you mean {path.with_name(near)}?" if near else "look at the path",
        ) from None
    except OSError as error:
        raise UsageProblem(
            f"{path} cannot be read: {error.strerror}", fix="name a file that you may read"
        ) from None


def _names_beside(path: Path) -> list[str]:
    try:
        return [one.name for one in path.parent.iterdir()]
    except OSError:
        return []


def run_state(text: str) -> str:
    """Read a state of runs."""
    if text not in RUN_STATES:
        raise UsageProblem(
            f"there is no state {text!r}",
            suggestion=closest(text, RUN_STATES),
            fix=f"states are {', '.join(RUN_STATES)}",
        )
    return text


def fire_state(text: str) -> str:
    """Read a state of fires."""
    if text not in FIRE_STATES:
        raise UsageProblem(
            f"fires are never {text!r}",
            suggestion=closest(text, FIRE_STATES),
            fix=f"states are {', '.join(FIRE_STATES)}",
        )
    return text


def count(text: str) -> int:
    """Read a number that counts something."""
    if not text.isdecimal() or int(text) == 0:
        raise UsageProblem(f"{text!r} is not a count", fix="write 1, 2, 3, …")
    return int(text)


def duration_s(text: str) -> float:
    """Read `30`, `30s`, `15m`, `2h`, `1d` as seconds."""
    from flowdapt.domain.quantities import parse_duration_s

    try:
        return parse_duration_s(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def moment_ago(text: str) -> str:
    """Read `2d` (that long ago) or an RFC 3339 instant; return the instant."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return (datetime.now(UTC) - timedelta(seconds=duration_s(text))).isoformat()
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()
