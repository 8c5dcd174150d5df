"""Another machine, as far as processes can tell: they see none of those that run here."""

from __future__ import annotations

import functools
import subprocess

from tests.lacking import lacking

__all__ = ["elsewhere"]

_APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@functools.cache
def elsewhere() -> tuple[str, ...]:
    """Return the words that go before a command; what it starts ends with it."""
    for words in (_APART, (*_APART, "--user", "--map-root-user")):
        tried = subprocess.run([*words, "true"], capture_output=True, check=False)
        if tried.returncode == 0:
            return words
    raise lacking(f"no namespace of processes can be made here: {tried.stderr.decode().strip()}")
