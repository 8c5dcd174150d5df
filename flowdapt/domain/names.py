"""Decide which names may exist: resources, stages, namespaces, artifacts, secrets, run names, uids."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

from flowdapt.domain.errors import InvalidName

__all__ = ["Name", "check_name", "check_target", "new_run_name", "new_uid"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*([.:][A-Za-z_]\w*)(\.[A-Za-z_]\w*)*")
# Windows device names would break an artifact store that is synced there.
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL"})


def check_name(value: str, what: str = "name") -> str:
    """Return the name when it is one safe segment; raise InvalidName saying what is allowed."""
    bad = (
        _NAME.fullmatch(value) is None
        or ".." in value
        or value.endswith(".")
        or value.split(".")[0].upper() in _RESERVED
        or unicodedata.normalize("NFKC", value) != value
    )
    if bad:
        raise InvalidName(
            f"{value[:140]!r} is not a valid {what}",
            fix="use 1-128 of A-Z a-z 0-9 . _ - starting with a letter or digit, without '..'",
        )
    return value


def _named(value: str) -> str:
    try:
        return check_name(value)
    except InvalidName as error:
        raise ValueError(f"{error.message}; {error.fix}") from None


Name = Annotated[str, AfterValidator(_named)]


def check_target(value: str) -> str:
    """Return the target when it is `pkg.mod.name` or `pkg.mod:name`; raise ValueError otherwise."""
    if len(value) > 512 or _TARGET.fullmatch(value) is None:
        raise ValueError(f"{value[:140]!r} is not a target; write package.module.function or package.module:function")
    if any(part.startswith("__") for part in re.split(r"[.:]", value)):
        raise ValueError("a target may not name dunder attributes")
    return value


def new_uid() -> str:
    """Return 32 hex digits that sort by creation time (UUID version 7, RFC 9562)."""
    value = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"


def new_run_name(uid: str) -> str:
    """Return `adjective-animal-8hex`, the last part taken from the uid."""
    # coolname reads its word lists at import: only who creates runs pays for that.
    import coolname

    return f"{coolname.generate_slug(2)}-{uid[-8:]}"
