"""Find what is stored and may yet be a mistake: resources no executor has, workflows that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowdapt.domain.resource import Resource
from flowdapt.ports.store import Store

__all__ = ["Doubts"]

_BUILT_IN = frozenset({"cpus", "gpus", "memory"})


class Doubts:
    """Looks at documents that are sound in themselves, beside everything else that is stored.

    `known_resources` are the resource names that some executor offers; None: it is not known.
    """

    def __init__(self, store: Store, known_resources: Sequence[str] | None) -> None:
        self._store = store
        self._known_resources = None if known_resources is None else frozenset(known_resources)

    async def about(self, resources: Sequence[Resource]) -> dict[int, list[str]]:
        """Return, by position, what is stored and may yet be a mistake."""
        doubts = {
            at: list(self._unknown_resources(resource))
            for at, resource in enumerate(resources)
            if resource.kind == "workflow"
        }
        for at, resource in enumerate(resources):
            for name, does in _named_workflows(resource):
                if not await self._will_exist(name, resources):
                    words = f"it {does} the workflow {name!r}, which does not exist"
                    doubts.setdefault(at, []).append(words)
        return doubts

    def _unknown_resources(self, resource: Resource) -> Iterator[str]:
        if self._known_resources is None:
            return
        for stage in resource.spec["stages"]:
            for name in stage.get("resources", {}).keys() - _BUILT_IN - self._known_resources:
                yield f'stage "{stage["name"]}" asks for the resource {name!r}, which no executor has'

    async def _will_exist(self, workflow: str, resources: Sequence[Resource]) -> bool:
        if any(r.kind == "workflow" and r.metadata.name == workflow for r in resources):
            return True
        return await self._store.find_resource("workflow", workflow) is not None


def _named_workflows(resource: Resource) -> Iterator[tuple[str, str]]:
    """Yield the workflows that a config or a rule names, and what it does with them."""
    if resource.kind == "config":
        selector = resource.spec.get("selector")
        if selector and selector["type"] == "name":
            yield selector["value"], "selects"
    if resource.kind == "trigger_rule":
        single = [resource.spec["action"]] if resource.spec.get("action") else []
        for action in [*single, *resource.spec.get("actions", ())]:
            name = action.get("parameters", {}).get("workflow")
            if action["target"] == "run_workflow" and isinstance(name, str):
                yield name, "runs"
