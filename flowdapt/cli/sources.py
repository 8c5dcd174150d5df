"""Decide which documents a command means, and where in which file a problem of theirs stands.

Several files travel as one text, so that they are applied all or none; places are mapped back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from flowdapt.cli.grammar import Opt
from flowdapt.cli.reading import read_document
from flowdapt.cli.usage import UsageProblem
from flowdapt.domain.errors import FlowdaptError, NotFound, Problem

__all__ = ["Files", "Recursive", "Sources", "gather"]

Files = Annotated[
    list[str] | None,
    Opt("-f --file -p --path", "file, directory, or - for stdin; repeat for more", "FILE", "file"),
]
Recursive = Annotated[bool, Opt("-R --recursive", "directories with all that is below")]

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True)
class Sources:
    """The texts of several files, by name; `-` is standard input."""

    texts: tuple[tuple[str, bytes], ...]

    @property
    def names(self) -> str:
        return ", ".join(name for name, _ in self.texts)

    @property
    def joined(self) -> bytes:
        """Return all documents as one YAML text (JSON is YAML as well)."""
        return b"\n---\n".join(text for _, text in self.texts)

    def place(self, line: int) -> tuple[str, int]:
        """Return file and line of a line of the joined text."""
        first = 1
        for name, text in self.texts:
            lines = text.count(b"\n") + 1
            if line < first + lines:
                return name, line - first + 1
            first += lines + 1
        return self.texts[-1][0], line

    def located(self, error: FlowdaptError) -> FlowdaptError:
        """Return the error with its problems placed in the files they come from."""
        problems = [self._located(problem) for problem in error.problems]
        fix = None if any(problem.line for problem in problems) else error.fix
        return type(error)(
            error.message, fix=fix, code=error.exact_code, problems=problems, details=error.details
        )

    def _located(self, problem: Problem) -> Problem:
        if problem.line is None:
            return replace(problem, source=self.texts[0][0]) if len(self.texts) == 1 else problem
        name, line = self.place(problem.line)
        # "line 3" of the server's words would be another line in another file.
        message = re.sub(
            r"\bline (\d+)\b", lambda m: f"line {self.place(int(m[1]))[1]}", problem.message
        )
        return replace(problem, source=name, line=line, message=message)


def gather(paths: Sequence[str], *, recursive: bool) -> Sources:
    """Read the named files, the documents of directories, and standard input for `-`."""
    if not paths:
        raise UsageProblem("no file is named", fix="give -f FILE, -f DIR or -f -")
    found = [file for path in paths for file in _files(Path(path), recursive)]
    return Sources(tuple((str(file), read_document(file)) for file in dict.fromkeys(found)))


def _files(path: Path, recursive: bool) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    entries = path.rglob("*") if recursive else path.iterdir()
    files = sorted(one for one in entries if one.suffix in _SUFFIXES and one.is_file())
    if not files:
        raise NotFound(
            f"{path} holds no document (*.yaml, *.yml, *.json)",
            code="file.missing",
            fix=None if recursive else f"flowdapt apply -R -f {path}",
        )
    yield from files
