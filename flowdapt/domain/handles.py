"""Decide which values live with an executor only, and are gone when it is."""

from __future__ import annotations

from collections.abc import Iterator

from flowdapt.domain.task import ValueRef

__all__ = ["handles_of", "only_held"]


def handles_of(ref: ValueRef) -> Iterator[str]:
    """Yield the handles of every live copy behind a reference, parts included."""
    if ref.handle:
        yield ref.handle
    for part in ref.parts:
        yield from handles_of(part.value)


def only_held(ref: ValueRef) -> Iterator[str]:
    """Yield the handles of what no file and no row holds: the value is lost with any of them."""
    if ref.kind == "cluster":
        yield ref.handle
    for part in ref.parts:
        yield from only_held(part.value)
