"""Decide what one safe segment of a path is: the rule behind every name that reaches a file system.

Free of pydantic, since workers check names of artifacts and namespaces; `names.py` makes types of it.
"""

from __future__ import annotations

import re
import unicodedata

from flowdapt.domain.errors import InvalidName

__all__ = ["NAME_FIX", "check_name"]

NAME_FIX = "use 1-128 of A-Z a-z 0-9 . _ - starting with a letter or digit, without '..'"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# Windows device names would break an artifact store that is synced there.
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL"})


def check_name(value: str, what: str = "name") -> str:
    """Return the name when it is one safe segment; raise InvalidName saying what is allowed."""
    bad = (
        _NAME.fullmatch(value) is None
        or ".." in value
        or value.endswith(".")
        or value.partition(".")[0].upper() in _RESERVED
        or unicodedata.normalize("NFKC", value) != value
    )
    if bad:
        raise InvalidName(f"{value[:140]!r} is not a valid {what}", fix=NAME_FIX)
    return value
