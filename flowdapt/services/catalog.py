"""Keep workflows ready to be run: parsed once per revision, with their configs merged.

The store is the truth: what is kept here is dropped at every write that goes through this process,
and compared with the store at each use where other processes write as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import trio

from flowdapt.domain.config import ConfigSpec, merge
from flowdapt.domain.errors import NotFound, Problem
from flowdapt.domain.graph import Graph
from flowdapt.domain.resource import Kind, Resource, canonical, digest_of
from flowdapt.domain.schema import check_input
from flowdapt.domain.workflow import WorkflowSpec
from flowdapt.ports.store import Store

__all__ = ["Catalog", "CompiledWorkflow", "iter_resources", "missing"]

_KEPT = 256
_PAGE = 500


@dataclass(frozen=True)
class CompiledWorkflow:
    """A revision of a workflow with what it would get at this moment.

    `definition` and `config` are canonical JSON texts, as runs freeze them.
    """

    name: str
    uid: str
    revision: int
    annotations: Mapping[str, Any]
    spec: WorkflowSpec
    definition: str
    config: str

    @cached_property
    def graph(self) -> Graph:
        return Graph.of({stage.name: stage.depends_on for stage in self.spec.stages})

    @cached_property
    def digest(self) -> str:
        """Return the digest of the definition."""
        return digest_of(self.definition)

    def check_input(self, value: object) -> list[Problem]:
        """Return what is wrong with an input by the workflow's schema."""
        schema = self.spec.input_schema
        return [] if schema is None else check_input(schema, value)


class Catalog:
    """Answers `compiled`; `changing` surrounds every write of resources."""

    def __init__(self, store: Store, *, trusts_itself: bool) -> None:
        self._store = store
        self._trusts_itself = trusts_itself
        self._kept: OrderedDict[str, CompiledWorkflow] = OrderedDict()
        self._configs: list[tuple[str, ConfigSpec]] | None = None
        self._changes = 0

    async def compiled(self, workflow: str) -> CompiledWorkflow:
        """Return the current revision. Raise NotFound with a suggestion."""
        kept = self._kept.get(workflow)
        if kept is not None and self._trusts_itself:
            self._kept.move_to_end(workflow)
            return kept
        changes = self._changes
        resource = await self._store.find_resource("workflow", workflow)
        if resource is None:
            raise await missing(self._store, "workflow", workflow)
        compiled = self._compile(resource, await self.configs(), kept)
        # A write in between may have made this old: then it serves this one call only.
        if changes == self._changes:
            self._keep(workflow, compiled)
        return compiled

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Forget what was kept, before and after a write; the write is not cut off half-way."""
        self._forget()
        try:
            with trio.CancelScope(shield=True):
                yield
        finally:
            self._forget()

    def _forget(self) -> None:
        self._changes += 1
        self._kept.clear()
        self._configs = None

    def _keep(self, workflow: str, compiled: CompiledWorkflow) -> None:
        self._kept[workflow] = compiled
        self._kept.move_to_end(workflow)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def _compile(
        self,
        resource: Resource,
        configs: list[tuple[str, ConfigSpec]],
        kept: CompiledWorkflow | None,
    ) -> CompiledWorkflow:
        metadata = resource.metadata
        uid, revision = metadata.uid or "", metadata.revision or 0
        config = canonical(merge(metadata.name, metadata.annotations, configs))
        same = kept is not None and (kept.uid, kept.revision) == (uid, revision)
        if kept is not None and same and kept.config == config:
            return kept
        return CompiledWorkflow(
            name=metadata.name,
            uid=uid,
            revision=revision,
            annotations=metadata.annotations,
            spec=kept.spec
            if kept is not None and same
            else WorkflowSpec.model_validate(resource.spec),
            definition=canonical(resource.spec),
            config=config,
        )

    async def configs(self) -> list[tuple[str, ConfigSpec]]:
        """Return every config by name."""
        if self._configs is not None and self._trusts_itself:
            return self._configs
        changes = self._changes
        configs = [
            (config.metadata.name, ConfigSpec.model_validate(config.spec))
            async for config in iter_resources(self._store, "config")
        ]
        if changes == self._changes:
            self._configs = configs
        return configs


async def missing(store: Store, kind: Kind, name: str) -> NotFound:
    """Return the error for a resource that is not there, with the nearest one that is."""
    names = [r.metadata.name async for r in iter_resources(store, kind, at_most=_PAGE)]
    near = get_close_matches(name[:128], names, 1)
    return NotFound(
        f"there is no {kind} {name[:140]!r}",
        code="resource.not_found",
        fix=f"did you mean {near[0]!r}?" if near else f"flowdapt get {kind}s  lists them",
    )


async def iter_resources(
    store: Store, kind: Kind, *, at_most: int | None = None
) -> AsyncIterator[Resource]:
    """Stream the resources of a kind by name."""
    cursor, count = None, 0
    while True:
        page = await store.list_resources(kind, cursor=cursor, limit=_PAGE)
        for resource in page.items:
            yield resource
        count += len(page.items)
        cursor = page.next
        if cursor is None or (at_most is not None and count >= at_most):
            return
