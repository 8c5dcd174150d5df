"""What a measurement comes to: a ratio to a floor of the same run, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure: `ratio` is to the floor (or a plain number), `target` what it should be."""

    name: str
    measured: str
    floor: str
    ratio: float
    target: str
    reached: bool
