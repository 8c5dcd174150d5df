"""Decide what a place for artifacts must do: folders two deep, files that appear whole or not at all.

Names that begin with a dot are ours: temporary files, and what callers keep beside the visible files.
Which names are fit and what the files mean is left to `artifact_store.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

__all__ = ["TEMPORARY", "FileInfo", "Folder"]

TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of an artifact. `modified_at` is aware UTC."""

    name: str
    size_bytes: int
    modified_at: datetime


class Folder(ABC):
    """Files as `<namespace>/<name>/<file>`. What is missing raises FileNotFoundError, but lists empty."""

    @abstractmethod
    def names(self, *parts: str) -> list[str]:
        """List the folders below, sorted."""

    @abstractmethod
    def files(self, namespace: str, name: str) -> list[FileInfo]:
        """List the visible regular files, by name."""

    @abstractmethod
    def open(self, namespace: str, name: str, file: str) -> IO[bytes]:
        """Open a regular file for reading, seekable."""

    @abstractmethod
    def write(self, namespace: str, name: str, file: str) -> AbstractContextManager[IO[bytes]]:
        """Give a file to write; it takes its place when the block ends well and is gone otherwise."""

    @abstractmethod
    def remove(self, namespace: str, name: str, file: str) -> None:
        """Delete one file."""

    @abstractmethod
    def remove_all(self, namespace: str, name: str) -> None:
        """Delete a folder with all in it."""

    @abstractmethod
    def sweep(self, older_than_s: float) -> int:
        """Delete what broken-off writes left behind; return how many things that were."""
