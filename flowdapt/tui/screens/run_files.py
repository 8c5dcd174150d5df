"""Write what a run holds to a file on this machine that is not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO

from flowdapt.domain.errors import InvalidInput

__all__ = ["save_bytes", "save_log"]


def save_bytes(given: str, content: bytes) -> Path:
    """Write bytes; raise InvalidInput when that cannot be, or the file is there."""
    path, file = _new_file(given)
    with file:
        file.write(content)
    return path


async def save_log(given: str, pages: AsyncIterator[Sequence[str]]) -> tuple[Path, int]:
    """Write lines as they come; return where, and how many. Raise as `save_bytes` does."""
    path, file = await asyncio.to_thread(_new_file, given)
    count = 0
    with file:
        async for lines in pages:
            content = "".join(f"{one}\n" for one in lines).encode("utf-8", "surrogateescape")
            await asyncio.to_thread(file.write, content)
            count += len(lines)
    return path, count


def _new_file(given: str) -> tuple[Path, IO[bytes]]:
    path = Path(given).expanduser().absolute()
    try:
        return path, path.open("xb")
    except FileExistsError:
        raise InvalidInput(f"{path} is there already", fix="give another name") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from error
