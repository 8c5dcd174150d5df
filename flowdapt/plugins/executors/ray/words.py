"""Decide how what tasks say while they run reaches the bridge: through an actor that it asks again and again."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions as errors

from flowdapt.plugins.executors.ray.remote import NAMESPACE, Ear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flowdapt.plugins.bridge.hearing import Hearing

__all__ = ["Listener"]

_AGAIN_S = 0.5
# Whoever tells has a call open for the time of one; the listener has one more.
_CALLS_MAX = 1000


class Listener:
    """The actor, and what is heard from it. `running` are the tasks by their handle."""

    def __init__(self, running: Mapping[str, Hearing], lose: Callable[[str], None]) -> None:
        self._running = running
        self._lose = lose
        self.name = f"flowdapt-ear-{secrets.token_hex(8)}"
        self._ear: Any = (
            ray.remote(Ear)
            .options(
                name=self.name,
                namespace=NAMESPACE,
                num_cpus=0,
                max_restarts=-1,
                max_concurrency=_CALLS_MAX,
            )
            .remote()
        )

    async def listen(self) -> None:
        """Pass on what is heard, until cancelled."""
        while True:
            try:
                words = await self._ear.listen.remote()
            except errors.RayError:
                await asyncio.sleep(_AGAIN_S)  # Ray starts it anew elsewhere
                continue
            except ConnectionError as error:
                self._lose(f"the connection to the Ray cluster broke: {error}")
                return
            for key, node, number, body in words:
                if told := self._running.get(key):
                    told.hear(node, number, body)
