"""Tell in a preflight which of the user's code travels to workers that do not see our files.

Which files that are is decided in `runtime/bundle.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flowdapt.domain.errors import TooLarge
from flowdapt.domain.finding import Finding
from flowdapt.domain.wording import amount, size
from flowdapt.runtime.bundle import Packer

if TYPE_CHECKING:
    from flowdapt.domain.task import WorkerEnvironment
    from flowdapt.runtime.bundle import Bundle

__all__ = ["code_rows"]

_NAMED_MAX = 3


async def code_rows(environment: WorkerEnvironment) -> list[Finding]:
    """Return how much code travels, what stays here although it lies beside it, or why it cannot go."""
    packer = Packer(
        environment.user_modules,
        environment.python_path,
        apart=(environment.values_root, environment.memory_root),
    )
    try:
        bundle = await asyncio.to_thread(packer.pack)
    except TooLarge as error:
        return [
            Finding(
                what="code",
                level="failed",
                words=error.message,
                code="executor.code_too_large",
                fix=error.fix or "",
            )
        ]
    return [_travels(bundle), *_stays(bundle)]


def _travels(bundle: Bundle) -> Finding:
    files = amount(bundle.files, "file of code goes", "files of code go")
    words = f"{files} along with the tasks, {size(len(bundle.data))}"
    return Finding(what="code", level="ok", words=words)


def _stays(bundle: Bundle) -> list[Finding]:
    if not bundle.left_out:
        return []
    named = ", ".join(bundle.left_out[:_NAMED_MAX])
    more = ", …" if len(bundle.left_out) > _NAMED_MAX else ""
    return [
        Finding(
            what="data",
            level="warning",
            words=f"files beside the code are too large to go along: {named}{more}",
            code="executor.data_stays",
            fix="stages there cannot open them: keep data in artifacts or in a storage that workers see",
        )
    ]
