"""Find out whether workers see our files, and tell it in a preflight."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flowdapt.domain.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowdapt.plugins.bridge.options import ClusterOptions

__all__ = ["files_row", "probe_in"]


@contextmanager
def probe_in(root: str) -> Iterator[tuple[str, str]]:
    """Give the path of a file below a root, and the word in it that nobody can guess."""
    Path(root).mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = Path(root) / f".probe-{os.getpid()}"
    word = secrets.token_hex(16)
    probe.write_text(word, encoding="ascii")
    try:
        yield str(probe), word
    finally:
        probe.unlink(missing_ok=True)


def files_row(options: ClusterOptions, artifacts_url: str, *, shares_files: bool) -> Finding:
    """Return the row about files."""
    if shares_files:
        return Finding(what="files", level="ok", words="workers see the files of this machine")
    if options.artifacts_url(artifacts_url, shares_files=False):
        words = "workers have files of their own; artifacts lie in a storage that all see"
        return Finding(what="files", level="ok", words=words)
    return Finding(
        what="files",
        level="warning",
        words="workers have files of their own and no storage is set: stages cannot use artifacts",
        code="executor.no_storage",
        fix="name one that all see: --option storage=s3://bucket/folder",
    )
