"""Decide what a wrong command line is told: what is wrong, what was probably meant, how to go on."""

from __future__ import annotations

from collections.abc import Iterable

from flowdapt.domain.errors import InvalidInput, Problem

__all__ = ["UsageProblem", "closest"]


class UsageProblem(InvalidInput):
    """The words typed make no command."""

    code = "usage"

    def __init__(self, message: str, *, suggestion: str | None = None, fix: str | None = None):
        problem = Problem("usage", message, suggestion=suggestion, fix=fix)
        super().__init__(message, fix=fix, problems=(problem,))


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    import difflib

    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.6)
    if found:
        return names[found[0]]
    # "wf" for "workflows": letters in order, which difflib finds too far away.
    starts = [name for low, name in names.items() if low.startswith(word.lower())]
    return starts[0] if len(starts) == 1 and word.strip("-") else None
