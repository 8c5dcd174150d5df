"""Keep account of what each stage of a run still waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from flowdapt.domain.workflow import StageSpec

__all__ = ["Dependencies"]


class Dependencies:
    """Which stages depend on which, and how many of theirs have not finished."""

    def __init__(self, stages: Iterable[StageSpec], is_finished: Callable[[str], bool]) -> None:
        specs = list(stages)
        self._dependants: dict[str, list[str]] = {stage.name: [] for stage in specs}
        self._unmet: dict[str, int] = {}
        for stage in specs:
            for dependency in stage.depends_on:
                self._dependants[dependency].append(stage.name)
            self._unmet[stage.name] = sum(not is_finished(name) for name in stage.depends_on)

    def of(self, name: str) -> list[str]:
        """Return the stages that depend on this one directly."""
        return self._dependants[name]

    def waits(self, name: str) -> bool:
        """Say whether a dependency of the stage has not finished."""
        return self._unmet[name] > 0

    def met(self) -> Iterator[str]:
        """Yield the stages that wait for no other."""
        return (name for name, unmet in self._unmet.items() if unmet == 0)

    def finished(self, name: str) -> list[str]:
        """Note that the stage has finished; return those for which it was the last."""
        last = []
        for dependant in self._dependants[name]:
            self._unmet[dependant] -= 1
            if self._unmet[dependant] == 0:
                last.append(dependant)
        return last

    def reopened(self, name: str) -> None:
        """Note that a finished stage has to finish once more."""
        for dependant in self._dependants[name]:
            self._unmet[dependant] += 1
