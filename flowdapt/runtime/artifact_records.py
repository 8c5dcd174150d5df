"""Decide what is known of artifacts: what lists and previews show, and what lies beside the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["About", "ArtifactInfo", "Preview", "Sidecar"]


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """An artifact in a list. `modified_at` is the newest of its files."""

    namespace: str
    name: str
    files: int
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What can be shown of a file without decoding it.

    `about` was written by whoever stored the value (type, shape, columns, head); `text` is the
    head of a text file. Both are content from outside: hostile until sanitised.
    """

    file: str
    size_bytes: int
    format: str | None
    about: dict[str, Any]
    text: str | None
    truncated: bool


class About(msgspec.Struct, omit_defaults=True):
    """What `put` knows of a file it wrote. `sha256` only where reading must be certain."""

    format: str
    sha256: str = ""
    preview: dict[str, Any] = {}


class Sidecar(msgspec.Struct, omit_defaults=True):
    """What is kept beside an artifact's files. `value` names the file that `get` reads."""

    metadata: dict[str, Any] = {}
    value: str | None = None
    created_at: float = 0.0
    run: str = ""
    stage: str = ""
