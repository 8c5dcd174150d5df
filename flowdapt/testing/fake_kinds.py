"""Kinds of executors that a test makes, for the service that opens executors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.errors import InvalidInput
from flowdapt.ports.kinds import Kinds, Prepared

if TYPE_CHECKING:
    from flowdapt.ports.executor import Executor

__all__ = ["FakeKinds"]


class FakeKinds(Kinds):
    """Kinds of executors that a test makes: by kind, what gives one for the options of a profile.

    `made` are all that were made, the newest last. An option `wrong` is refused, and an
    address with `far` in it unless `insecure`.
    """

    def __init__(
        self, makers: dict[str, Callable[[dict[str, Any]], Executor]], *, patience_s: float = 10.0
    ) -> None:
        self.makers = makers
        self.patience_s = patience_s
        self.made: list[Executor] = []

    def names(self) -> Collection[str]:
        """Return the kinds."""
        return list(self.makers)

    async def validate(self, kind: str, options: Mapping[str, Any]) -> None:
        """Refuse an unknown kind, and what the class says."""
        await trio.lowlevel.checkpoint()
        if kind not in self.makers:
            raise InvalidInput(f"there is no executor of kind {kind!r}", code="plugin.unknown_kind")
        if "far" in str(options.get("address")) and not options.get("insecure"):
            raise InvalidInput(f"{kind}: far is another machine", code="executor.invalid_options")
        if "wrong" in options:
            raise InvalidInput(f"{kind} has no option 'wrong'", code="executor.invalid_options")

    async def prepare(self, kind: str, options: Mapping[str, Any]) -> Prepared:
        """Return what makes and remembers an executor."""
        await self.validate(kind, options)

        def make() -> Executor:
            self.made.append(self.makers[kind](dict(options)))
            return self.made[-1]

        return Prepared(make, patience_s=self.patience_s)
