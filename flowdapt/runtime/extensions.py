"""Decide what a worker does with what plugins declared for it: call each once, register formats.

A plugin that fails here is told on stderr and left out: it must not keep every stage from running.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

from flowdapt.runtime.formats import Format, register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["start_extensions"]


def start_extensions(
    names: Iterable[str], find: Callable[[str], Callable[[], Any]]
) -> dict[str, str]:
    """Call what each import string names; return the errors of those that failed, by name.

    A call that returns a `Format` (so: a format's class) adds that format.
    """
    failed: dict[str, str] = {}
    for name in names:
        try:
            made = find(name)()
            if isinstance(made, Format):
                register(made)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"flowdapt: extension {name} is left out\n{traceback.format_exc()}")
    return failed
