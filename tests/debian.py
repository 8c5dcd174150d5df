"""Programs that tests take from the machine, since no wheel brings them; `.ci/run` installs them."""

from __future__ import annotations

import shutil

from tests.lacking import lacking

__all__ = ["find_program"]


def find_program(*names: str, package: str) -> str:
    """Return the first program that is there; else fail on CI, and skip elsewhere, with the way out."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise lacking(
        f"no {names[0]} on this machine: apt-get install --no-install-recommends {package}"
    )
