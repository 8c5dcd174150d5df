"""Decide which devices a task with a share of GPUs sees; never waits: capacity is counted elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["GpuShares"]


class GpuShares:
    """Free parts of devices, by their names for CUDA_VISIBLE_DEVICES."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._free = dict.fromkeys(devices, 1.0)

    def __bool__(self) -> bool:
        return bool(self._free)

    @contextmanager
    def take(self, share: float) -> Iterator[str]:
        """Reserve a share for a `with` block and return the devices' names, joined by commas.

        Below 1 it is the fullest device that still has room; from 1 on as many whole devices.
        """
        names = self._choose(share)
        part = share / len(names)
        for name in names:
            self._free[name] -= part
        try:
            yield ",".join(names)
        finally:
            for name in names:
                self._free[name] += part

    def _choose(self, share: float) -> list[str]:
        by_room = sorted(self._free, key=lambda name: -self._free[name])
        if share >= 1:
            return sorted(by_room[: min(round(share), len(by_room))])
        with_room = [name for name in by_room if self._free[name] >= share - 1e-9]
        return [min(with_room, key=self._free.__getitem__) if with_room else by_room[0]]
