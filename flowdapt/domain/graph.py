"""Decide the order of stages: topological order, cycles by name, leaves, who waits for whom.

Works on names alone, without recursion, in time linear in stages plus dependencies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Dependencies", "Graph", "find_cycles"]

# stage -> the stages it depends on, in the order they are written
Dependencies = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph without cycles. `order` has every stage after its dependencies, stable otherwise."""

    order: tuple[str, ...]
    dependencies: Mapping[str, tuple[str, ...]]
    dependants: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, dependencies: Dependencies) -> Graph:
        """Build it; raise ValueError naming an unknown stage or a cycle."""
        _refuse_unknown(dependencies)
        order = _topological(dependencies)
        if len(order) < len(dependencies):
            raise ValueError(
                f"the stages form a cycle: {' -> '.join(find_cycles(dependencies)[0])}"
            )
        return cls(
            order=tuple(order),
            dependencies={name: tuple(needs) for name, needs in dependencies.items()},
            dependants={name: tuple(users) for name, users in _reversed(dependencies).items()},
        )

    @property
    def roots(self) -> tuple[str, ...]:
        return tuple(name for name in self.order if not self.dependencies[name])

    @property
    def leaves(self) -> tuple[str, ...]:
        """Return the stages that nothing depends on, in the order of the definition."""
        return tuple(name for name in self.dependencies if not self.dependants[name])

    def descendants(self, *names: str) -> frozenset[str]:
        """Return every stage that depends on these, at any distance, without themselves."""
        return _reachable(names, self.dependants)

    def ancestors(self, *names: str) -> frozenset[str]:
        """Return every stage that these depend on, at any distance, without themselves."""
        return _reachable(names, self.dependencies)


def find_cycles(dependencies: Dependencies, *, limit: int = 20) -> list[list[str]]:
    """Return up to `limit` cycles without a stage in common, each as `[a, b, a]`: a depends on b.

    Unknown names are passed over: they are another problem.
    """
    left = {
        name: [need for need in needs if need in dependencies]
        for name, needs in dependencies.items()
    }
    cycles: list[list[str]] = []
    while len(cycles) < limit and (left := _without_ends(left)):
        cycle = _walk_into_cycle(left)
        cycles.append(cycle)
        left = _without(left, set(cycle))
    return cycles


def _topological(dependencies: Dependencies) -> list[str]:
    waiting = {name: len(set(needs)) for name, needs in dependencies.items()}
    dependants = _reversed(dependencies)
    ready = deque(name for name, count in waiting.items() if not count)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for user in dependants[name]:
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    return order


def _reversed(dependencies: Dependencies) -> dict[str, list[str]]:
    dependants: dict[str, list[str]] = {name: [] for name in dependencies}
    for name, needs in dependencies.items():
        for need in dict.fromkeys(needs):
            dependants[need].append(name)
    return dependants


def _refuse_unknown(dependencies: Dependencies) -> None:
    for name, needs in dependencies.items():
        for need in needs:
            if need not in dependencies:
                raise ValueError(f"stage {name!r} depends on {need!r}, which does not exist")


def _without_ends(graph: dict[str, list[str]]) -> dict[str, list[str]]:
    """Drop what only leads into a cycle or out of one."""
    graph = _without(graph, set(_topological(graph)))
    return _without(graph, set(_topological(_reversed(graph))))


def _without(graph: Mapping[str, Sequence[str]], gone: set[str]) -> dict[str, list[str]]:
    return {
        name: [need for need in needs if need not in gone]
        for name, needs in graph.items()
        if name not in gone
    }


def _walk_into_cycle(graph: dict[str, list[str]]) -> list[str]:
    """Every stage here has a dependency here, so walking on must come back."""
    seen: dict[str, int] = {}
    name = next(iter(graph))
    while name not in seen:
        seen[name] = len(seen)
        name = graph[name][0]
    return [*list(seen)[seen[name] :], name]


def _reachable(names: Iterable[str], edges: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    found: set[str] = set()
    todo = [near for name in names for near in edges[name]]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(edges[name])
    return frozenset(found.difference(names))
