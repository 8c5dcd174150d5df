"""Decide by which resources of a Ray cluster those are meant that a stage asks for, and what is shown of it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flowdapt.plugins.bridge.engine import State
from flowdapt.ports.executor import Capacity, Scale, WorkerInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Labels", "state_of"]

_KNOWN = {"cpus": "CPU", "gpus": "GPU", "memory": "memory", "memory_bytes": "memory"}
_ARGUMENTS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
# What Ray adds to a node by itself and no stage asks for.
_OWN = ("node:", "accelerator_type:", "object_store_memory", "bundle_group")

Node = dict[str, Any]


class Labels:
    """What the living nodes of a cluster offer, and what others that may come would."""

    def __init__(
        self, nodes: Sequence[Node] = (), grows_to: Mapping[str, float] = MappingProxyType({})
    ) -> None:
        self._most: dict[str, float] = {}
        self._total: dict[str, float] = {}
        for node in nodes:
            for name, amount in _offered(node).items():
                self._most[name] = max(self._most.get(name, 0.0), amount)
                self._total[name] = self._total.get(name, 0.0) + amount

        for name, amount in grows_to.items():
            label = _KNOWN.get(name, name)
            self._most[label] = max(self._most.get(label, 0.0), amount)
            self._total[label] = max(self._total.get(label, 0.0), amount)

    def asked(self, wanted: Mapping[str, float]) -> tuple[dict[str, Any], list[str]]:
        """Return the arguments of a remote call, and in words what no node could ever give."""
        asked: dict[str, Any] = {"num_cpus": 1.0}
        lacking: list[str] = []
        for name, amount in wanted.items():
            label = _KNOWN.get(name, name)
            if amount > self._most.get(label, 0.0):
                lacking.append(f"{amount:g} {name} ({self._found(label)})")
            elif label in _ARGUMENTS:
                asked[_ARGUMENTS[label]] = amount
            else:
                asked.setdefault("resources", {})[label] = amount
        return asked, lacking

    def total(self, label: str) -> float:
        """How much there is of it in all."""
        return self._total.get(label, 0.0)

    def custom(self) -> dict[str, float]:
        """What there is in all under the cluster's own names."""
        return {n: amount for n, amount in self._total.items() if n not in _ARGUMENTS}

    def _found(self, label: str) -> str:
        most = self._most.get(label)
        return "no node has any" if not most else f"one node has {most:g} at most"


def living(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that are there now."""
    return [node for node in nodes if node.get("Alive")]


def state_of(nodes: Sequence[Node], labels: Labels, running: Mapping[str, str]) -> State:
    """Return the state; `running` are the keys of our tasks by the node where they run."""
    capacity = Capacity(
        None, labels.total("CPU"), labels.total("GPU"), int(labels.total("memory")), labels.custom()
    )
    infos = tuple(_info(node, running) for node in nodes)
    return State(capacity, infos, Scale(len(infos)))


def _info(node: Node, running: Mapping[str, str]) -> WorkerInfo:
    name = str(node["NodeID"])
    return WorkerInfo(
        name=f"{node.get('NodeName') or node.get('NodeManagerAddress')}/{name[:8]}",
        state="busy" if name in running else "idle",
        task_key=running.get(name),
        details={
            "address": str(node.get("NodeManagerAddress", "")),
            "host": str(node.get("NodeManagerHostname", "")),
            "resources": _offered(node),
        },
    )


def _offered(node: Node) -> dict[str, float]:
    return {
        name: float(amount)
        for name, amount in (node.get("Resources") or {}).items()
        if not name.startswith(_OWN)
    }
