"""Decide by which labels of a Dask cluster the resources are meant that a stage asks for."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Labels"]

# How clusters call them; Dask itself knows no names.
_GPUS = ("GPU", "gpu", "gpus", "GPUS")
_CPUS = ("CPU", "cpu", "cpus", "CPUS")
_MEMORY = ("MEMORY", "memory", "memory_bytes")
_KNOWN = {"gpus": _GPUS, "cpus": _CPUS, "memory": _MEMORY, "memory_bytes": _MEMORY}
# Each task takes a thread and lies in some memory; where no label says more, nothing more is asked.
_OPTIONAL = frozenset({"cpus", "memory", "memory_bytes"})


class Labels:
    """What the workers of a cluster offer besides their threads.

    What one worker had at most is remembered: a task waits for a worker that went, and for the first one.
    """

    def __init__(
        self,
        workers: Mapping[str, Mapping[str, Any]],
        most: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.most = dict(most)
        self._total: dict[str, float] = {}
        self._known = bool(workers or most)
        for worker in workers.values():
            for name, amount in (worker.get("resources") or {}).items():
                self.most[name] = max(self.most.get(name, 0.0), float(amount))
                self._total[name] = self._total.get(name, 0.0) + float(amount)

    def asked(self, wanted: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
        """Return what is to be asked of Dask, and in words what no worker could ever give."""
        asked: dict[str, float] = {}
        lacking: list[str] = []
        for name, amount in wanted.items():
            if amount <= 0:
                continue
            label = self._label(name)
            if not self._known and name not in _OPTIONAL:
                asked[_KNOWN.get(name, (name,))[0]] = amount
            elif label is not None and amount <= self.most[label]:
                asked[label] = amount
            elif label is not None:
                lacking.append(f"{amount:g} {name} (one worker has {self.most[label]:g} at most)")
            elif name not in _OPTIONAL:
                lacking.append(f"{amount:g} {name} (no worker has any)")
        return asked, lacking

    def gpus(self) -> float:
        """How many GPUs there are in all."""
        label = self._label("gpus")
        return self._total.get(label, 0.0) if label else 0.0

    def custom(self) -> dict[str, float]:
        """What there is in all under the cluster's own names."""
        known = {name for names in _KNOWN.values() for name in names}
        return {name: total for name, total in self._total.items() if name not in known}

    def _label(self, name: str) -> str | None:
        for label in _KNOWN.get(name, (name,)):
            if label in self.most:
                return label
        return None
