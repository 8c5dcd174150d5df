"""Write a line into the daemon's log: the action for trying a rule out."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from flowdapt.domain.actions import LogLine
from flowdapt.logs import get_log
from flowdapt.ports.action import Action, Occasion

__all__ = ["LogAction"]

log = get_log("flowdapt.trigger")


class LogAction(Action):
    """Writes the line with the rule's name; the log escapes what a terminal would obey."""

    name: ClassVar[str] = "log"
    parameters: ClassVar[type[BaseModel]] = LogLine

    async def perform(self, parameters: BaseModel, occasion: Occasion) -> None:
        """Write it. A second try after a crash writes it again, with the same delivery."""
        assert isinstance(parameters, LogLine)
        write = getattr(log, parameters.level)
        write(
            parameters.message, rule=occasion.rule, fire=occasion.fire, delivery=occasion.delivery
        )
