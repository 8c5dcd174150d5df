"""Promise how executors are made of profiles: which kinds there are, and what options they take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from flowdapt.ports.executor import Executor

__all__ = ["Kinds", "Prepared"]


class Prepared(msgspec.Struct, frozen=True):
    """How to make an executor, with everything imported and its options read.

    `patience_s` bounds its start.
    """

    make: Callable[[], Executor]
    patience_s: float = 10.0


class Kinds(ABC):
    """The kinds of executors that can be had. May wait for an import; abandoned when cancelled."""

    @abstractmethod
    def names(self) -> Collection[str]:
        """Return the kinds that profiles may have. Never blocks."""

    @abstractmethod
    async def validate(self, kind: str, options: Mapping[str, Any]) -> None:
        """Raise InvalidInput when there is no such kind, or its options are wrong."""

    @abstractmethod
    async def prepare(self, kind: str, options: Mapping[str, Any]) -> Prepared:
        """Import the kind and read the options, secrets filled in. Raise FlowdaptError."""
