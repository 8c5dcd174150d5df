"""Decide which waiting task gets a slot of an executor: by priority, then by age, if its needs fit.

Slots, cpus, gpus, memory and custom resources are semaphores here; an executor that queues by itself
(`slots` None) is only asked for what it limits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

import trio

from flowdapt.domain.workflow import Resources
from flowdapt.ports.executor import Capacity, Executor
from flowdapt.services.circuit import Circuit

__all__ = ["Dispatcher", "Lease", "Ticket", "impossible_needs"]


@dataclass(slots=True)
class Lease:
    """A slot and its resources, held by one task. `gpus` names devices when whole or shared ones are pinned."""

    needs: Resources
    gpus: tuple[tuple[int, float], ...] = ()

    @property
    def gpu_devices(self) -> str:
        return ",".join(str(device) for device, _ in self.gpus)


@dataclass(slots=True, order=True)
class Ticket:
    """A place in the queue, ordered by urgency and age."""

    rank: int
    age: int
    needs: Resources = field(compare=False)
    lease: Lease | None = field(compare=False, default=None)
    ready: trio.Event | None = field(compare=False, default=None)
    gone: bool = field(compare=False, default=False)


class Dispatcher:
    """The queue in front of one executor. It outlives the executor, which may be opened again.

    `start_timeout_s` is how long its tasks may take to begin, where that differs. `on_outage` is told when the executor
    begins to refuse tasks (in words), and when it takes them again (None).
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.circuit = Circuit()
        self.start_timeout_s: float | None = None
        self.on_outage: Callable[[str | None], None] = lambda _words: None
        self._capacity = executor.capacity()
        self._busy = 0
        self._cpus = 0.0
        self._memory = 0
        self._custom: defaultdict[str, float] = defaultdict(float)
        self._devices = [1.0] * int(self._capacity.gpus)
        self._queue: list[Ticket] = []
        self._ages = count()

    @property
    def unavailable(self) -> str | None:
        """Say in words why no task is given to the executor now; None while they are."""
        return self.circuit.words

    def attach(self, executor: Executor) -> None:
        """Give tasks to this executor from now on, and let those that wait pass."""
        self.executor = executor
        self.refresh()
        self.readmit()

    def detach(self, absent: Executor, words: str) -> None:
        """Give no more tasks: the executor is gone, and what it had stays known until the next."""
        self.executor = absent
        self.circuit.cut(words)

    def refresh(self) -> None:
        """Look again at what the executor has: an elastic one changes."""
        capacity = self.executor.capacity()
        if capacity != self._capacity:
            self._capacity = capacity
            self._devices += [1.0] * (int(capacity.gpus) - len(self._devices))
            self._admit()

    def readmit(self) -> None:
        """Close the circuit and admit who fits."""
        self.circuit.mend()
        self._admit()

    def failed(self, words: str) -> None:
        """Note that the executor refused a task."""
        if self.circuit.failed(words):
            self.on_outage(words)

    def succeeded(self) -> None:
        """Note that the executor has taken a task."""
        if self.circuit.succeeded():
            self.on_outage(None)
            self._admit()

    @property
    def busy(self) -> int:
        """Return how many slots are held."""
        return self._busy

    @property
    def waiting(self) -> int:
        """Return how many tasks wait for a slot."""
        return sum(not entry.gone for entry in self._queue)

    @property
    def parallelism(self) -> int:
        """Return how many tasks of one stage are worth having open at once."""
        slots = self._capacity.slots
        return slots if slots is not None else max(1, int(self._capacity.cpus))

    def ask(self, priority: int, needs: Resources) -> Ticket:
        """Take a place at once; the ticket tells when the lease is there.

        Not a coroutine, so that tasks are served in the order in which they were asked for.
        """
        lease = self._fit(needs) if not self._queue else None
        ticket = Ticket(-priority, next(self._ages), needs, lease)
        if lease is None:
            heappush(self._queue, ticket)
            self._admit()
        return ticket

    async def wait(self, ticket: Ticket) -> Lease:
        """Return the lease. When cancelled, the place is given up."""
        if ticket.lease is None:
            ticket.ready = trio.Event()
            try:
                await ticket.ready.wait()
            except trio.Cancelled:
                self.give_up(ticket)
                raise
        assert ticket.lease is not None, "a ticket is ready only with its lease"
        return ticket.lease

    def give_up(self, ticket: Ticket) -> None:
        """Leave the queue, or return the lease."""
        ticket.gone = True
        if ticket.lease is not None:
            self.release(ticket.lease)

    def release(self, lease: Lease) -> None:
        """Give the slot back and admit who fits now."""
        needs = lease.needs
        self._busy -= 1
        self._cpus -= needs.cpus
        self._memory -= needs.memory
        for name, amount in needs.custom.items():
            self._custom[name] -= amount
        for device, share in lease.gpus:
            self._devices[device] += share
        if self._queue:
            self._admit()

    def figures(self) -> dict[str, Any]:
        """Return what the queue and its executor tell of themselves."""
        capacity = self.executor.capacity()
        return {
            "slots": capacity.slots,
            "busy": self.busy,
            "waiting": self.waiting,
            "cpus": capacity.cpus,
            "gpus": capacity.gpus,
            "memory_bytes": capacity.memory_bytes,
            "resources": dict(capacity.custom),
        }

    def why_waiting(self, needs: Resources) -> str:
        """Say in words what a task with these needs waits for."""
        if self.unavailable:
            return f"the executor: {self.unavailable}"
        impossible = impossible_needs(needs, self._capacity)
        if impossible:
            name, wanted, there = impossible
            return f"{name}={wanted:g} for ever: the executor has {there:g}"
        for name, amount in needs.custom.items():
            limit = self._capacity.custom.get(name, 0.0)
            if name in self._capacity.custom and self._custom[name] + amount > limit:
                return f"{name} ({self._custom[name]:g} of {limit:g} taken, it asks {amount:g})"
        return f"a free slot ({self._busy} of {self._capacity.slots or 'all'} busy, {self.waiting} tasks wait)"

    def why_stuck(self) -> str | None:
        """Say in words why tasks that the executor took do not begin there; None when they may."""
        # One that queues by itself takes tasks also while it has nobody to give them to.
        lonely = self._capacity.slots is None and self.executor.scale().workers == 0
        return "a worker: the executor tells of none" if lonely else None

    def _admit(self) -> None:
        kept: list[Ticket] = []
        slots = self._capacity.slots
        while self._queue and self.circuit.admits and (slots is None or self._busy < slots):
            entry = heappop(self._queue)
            if entry.gone:
                continue
            entry.lease = self._fit(entry.needs)
            if entry.lease is None:
                # What does not fit must not hold up what does.
                kept.append(entry)
                continue
            if entry.ready is not None:
                entry.ready.set()
            if self.circuit.words is not None:
                break
        if kept:
            self._queue.extend(kept)
            heapify(self._queue)

    def _fit(self, needs: Resources) -> Lease | None:
        limit = self._capacity
        if not self.circuit.admits or (limit.slots is not None and self._busy >= limit.slots):
            return None
        if limit.slots is not None and self._cpus + needs.cpus > max(
            limit.cpus, float(limit.slots)
        ):
            return None
        if limit.memory_bytes and self._memory + needs.memory > limit.memory_bytes:
            return None
        for name, amount in needs.custom.items():
            if name in limit.custom and self._custom[name] + amount > limit.custom[name]:
                return None
            if name not in limit.custom and limit.slots is not None:
                return None
        gpus = self._fit_gpus(needs.gpus)
        if gpus is None:
            return None
        self._take(needs, gpus)
        return Lease(needs, gpus)

    def _fit_gpus(self, wanted: float) -> tuple[tuple[int, float], ...] | None:
        if not wanted or self._capacity.slots is None:
            return ()
        devices = self._devices[: int(self._capacity.gpus)]
        if wanted < 1:
            fits = [d for d, free in enumerate(devices) if free >= wanted - 1e-9]
            return ((min(fits, key=lambda d: self._devices[d]), wanted),) if fits else None
        whole = [d for d, free in enumerate(devices) if free >= 1 - 1e-9]
        n = int(wanted)
        return tuple((d, 1.0) for d in whole[:n]) if len(whole) >= n else None

    def _take(self, needs: Resources, gpus: tuple[tuple[int, float], ...]) -> None:
        self._busy += 1
        self._cpus += needs.cpus
        self._memory += needs.memory
        for name, amount in needs.custom.items():
            self._custom[name] += amount
        for device, share in gpus:
            self._devices[device] -= share


def impossible_needs(needs: Resources, capacity: Capacity) -> tuple[str, float, float] | None:
    """Return a need that this capacity can never satisfy, what is wanted and what is there."""
    cpus = max(capacity.cpus, float(capacity.slots or 0))
    amounts: Mapping[str, tuple[float, float]] = {
        "cpus": (needs.cpus, cpus),
        "gpus": (needs.gpus, capacity.gpus),
        "memory": (needs.memory, capacity.memory_bytes or needs.memory),
        **{name: (amount, capacity.custom.get(name, 0.0)) for name, amount in needs.custom.items()},
    }
    for name, (wanted, there) in amounts.items():
        if wanted > there:
            return name, wanted, there
    return None
