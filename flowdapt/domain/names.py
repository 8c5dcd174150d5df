"""Decide which names may exist: resources, stages, namespaces, artifacts, secrets, run names, uids."""

from __future__ import annotations

import re
import secrets
import time
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from flowdapt.domain.errors import InvalidName
from flowdapt.domain.segment import check_name

__all__ = ["INVALID_NAME", "Name", "check_name", "check_target", "new_run_name", "new_uid"]

_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*([.:][A-Za-z_]\w*)(\.[A-Za-z_]\w*)*", re.ASCII)
_TARGET_MAX_CHARS = 512


# The type of the error that models raise for a name; who tells of it knows the way out.
INVALID_NAME = "invalid_name"


def _named(value: str) -> str:
    try:
        return check_name(value)
    except InvalidName as error:
        raise PydanticCustomError(INVALID_NAME, "{message}", {"message": error.message}) from None


# What JSON Schema can say of a name; the rest (no "..", no device names) is checked.
_SCHEMA = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}
Name = Annotated[str, AfterValidator(_named), WithJsonSchema(_SCHEMA)]


def check_target(value: str) -> str:
    """Return the target when it is `pkg.mod.name` or `pkg.mod:name`; raise ValueError otherwise."""
    if len(value) > _TARGET_MAX_CHARS or _TARGET.fullmatch(value) is None:
        raise ValueError(
            f"{value[:140]!r} is not a target; write package.module.function or package.module:function"
        )
    if any(part.startswith("__") for part in re.split(r"[.:]", value)):
        raise ValueError("a target may not name dunder attributes")
    return value


def new_uid() -> str:
    """Return 32 hex digits that sort by creation time (UUID version 7, RFC 9562)."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"{value:032x}"


def new_run_name(uid: str) -> str:
    """Return `adjective-animal-8hex`, the last part taken from the uid."""
    # coolname reads its word lists at import: only who creates runs pays for that.
    import coolname

    return f"{coolname.generate_slug(2)}-{uid[-8:]}"
