"""Make the actions that rules may have: what each is given of this daemon, and what rules may write.

The built-in webhook is told where it may go and where secrets lie; the others take nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

    from flowdapt.domain.actions import ActionModels
    from flowdapt.plugins.manager import Plugins
    from flowdapt.ports.action import Action

__all__ = ["Actions"]

_WEBHOOK = "webhook"


class Actions:
    """The actions of one daemon, each imported and made when it is first asked for.

    `allowed` is the setting `webhooks.allowed`; `secret` returns a secret's value and may block.
    """

    def __init__(
        self, plugins: Plugins, *, allowed: Sequence[str], secret: Callable[[str], str]
    ) -> None:
        self._plugins = plugins
        self._allowed = allowed
        self._secret = secret
        self._made: dict[str, Action] = {}
        self._models = _Models(self._load_models)

    def get(self, name: str) -> Action:
        """Return the one action of that name; raise InvalidInput for an unknown or a broken one."""
        if name not in self._made:
            self._made[name] = self._webhook() if name == _WEBHOOK else self._plugins.action(name)()
        return self._made[name]

    def models(self) -> ActionModels:
        """Return what the actions of a rule are checked against; they are imported at the first look."""
        return self._models

    def _load_models(self) -> ActionModels:
        from flowdapt.domain.outbound import Allowed
        from flowdapt.plugins.actions.webhook_parameters import parameters_for

        return {
            **self._plugins.action_models(),
            _WEBHOOK: parameters_for(Allowed.of(self._allowed)),
        }

    def _webhook(self) -> Action:
        from flowdapt.domain.outbound import Allowed
        from flowdapt.plugins.actions.outgoing import Sender
        from flowdapt.plugins.actions.webhook import Webhook

        return Webhook(Sender(Allowed.of(self._allowed)), secret=self._secret)


class _Models(Mapping[str, "type[BaseModel]"]):
    """A mapping that is made when somebody looks into it."""

    def __init__(self, load: Callable[[], ActionModels]) -> None:
        self._load = load

    @cached_property
    def _loaded(self) -> ActionModels:
        return self._load()

    def __getitem__(self, name: str) -> type[BaseModel]:
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)
