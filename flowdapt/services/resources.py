"""Keep resources: apply, look up, roll back, delete; and give runs the workflow they are to run.

What a document may say is decided in `domain/validation.py`; the store decides races.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from flowdapt.domain.changes import document_of, in_reading_order, refuse_stale, unified_diff
from flowdapt.domain.config import ConfigSpec, carries, chosen
from flowdapt.domain.documents import Document, Form, documents_of, read
from flowdapt.domain.errors import InvalidInput, NotFound, Problem, StaleRevision
from flowdapt.domain.events import RESOURCE_APPLIED, RESOURCE_DELETED
from flowdapt.domain.resource import KINDS, Applied, Kind, Outlook, Resource, canonical, kind_named
from flowdapt.domain.validation import Checked, check_all, invalid
from flowdapt.ports.broker import EVENT_ADDED, Broker, Message
from flowdapt.ports.clock import Clock
from flowdapt.ports.store import Page, ResourceWrite, Store
from flowdapt.services.catalog import Catalog, CompiledWorkflow, iter_resources, missing
from flowdapt.services.clock import SystemClock
from flowdapt.services.doubts import Doubts

if TYPE_CHECKING:
    from flowdapt.domain.actions import ActionModels

__all__ = ["Description", "Resources"]

# A text longer than this is read in a thread, so that the loop goes on meanwhile.
_INLINE_TEXT = 16 * 1024
_RACES = 3


@dataclass(frozen=True, slots=True)
class Description:
    """A resource, and how it stands to the others."""

    resource: Resource
    # workflow: the configs that select it, weakest first, and what they merge to
    configs: tuple[str, ...] = ()
    config: Mapping[str, Any] | None = None
    # workflow: its stages in an order in which they could run
    order: tuple[str, ...] = ()
    # config: the workflows that it selects
    workflows: tuple[str, ...] = ()


class Resources:
    """The requests about resources, answered from the store.

    With `sole_writer` every write goes through this object, so compiled workflows are kept until
    one of them happens; otherwise each is checked against the store (several daemons).
    `known_resources` are the resource names that some executor offers.
    """

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        allowed_targets: Sequence[str] = (),
        known_resources: Sequence[str] | None = None,
        sole_writer: bool = True,
        actions: Callable[[], ActionModels] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._broker = broker
        self._allowed_targets = tuple(allowed_targets)
        self._doubts = Doubts(store, known_resources)
        self._actions = actions
        self._clock = clock or SystemClock()
        self._catalog = Catalog(store, trusts_itself=sole_writer)

    async def compiled(self, workflow: str) -> CompiledWorkflow:
        """Return the current revision, ready to be run. Raise NotFound with a suggestion."""
        return await self._catalog.compiled(workflow)

    # -- changing ------------------------------------------------------------------------------------

    async def apply(
        self,
        text: str | bytes | Sequence[Mapping[str, Any]],
        *,
        form: Form | None = None,
        source: str | None = None,
        dry_run: bool = False,
        if_revision: int | None = None,
        prune: Mapping[str, Any] | None = None,
    ) -> list[Applied]:
        """Store all documents or none; raise InvalidDocument with everything that is wrong.

        Metadata that the server owns is a precondition (StaleRevision when it does not hold), and so
        is `if_revision` for a single document (0: it must not exist). `prune` then deletes what
        carries all of these annotations and is not among the documents.
        """
        checked = await self._checked(text, form, source)
        if if_revision is not None and len(checked) != 1:
            raise InvalidInput(
                "a precondition holds for one document",
                code="document.not_one",
                fix="send one document",
            )
        applied = await self._apply(checked, dry_run=dry_run, if_revision=if_revision)
        if prune:
            applied += await self._prune(checked, prune, dry_run=dry_run)
        return applied

    async def rollback(self, kind: Kind, name: str, to: int, *, dry_run: bool = False) -> Applied:
        """Store a new revision with the content of an old one. Raise NotFound, InvalidDocument."""
        old = await self._store.get_resource(kind, name, revision=to)
        content = document_of(old, server_fields=False)
        (applied,) = await self.apply([content], dry_run=dry_run)
        return applied

    async def delete(self, kind: Kind, name: str, *, if_revision: int | None = None) -> Applied:
        """Delete; runs keep the revision they began with. Raise NotFound, StaleRevision."""
        with self._catalog.changing():
            applied = await self._store.delete_resource(kind, name, if_revision=if_revision)
        self._broker.publish(Message(EVENT_ADDED, RESOURCE_DELETED))
        return applied

    async def _checked(
        self, text: str | bytes | Sequence[Mapping[str, Any]], form: Form | None, source: str | None
    ) -> list[Checked]:
        if isinstance(text, str | bytes):
            if len(text) > _INLINE_TEXT:
                return await trio.to_thread.run_sync(self._read, text, form, source)
            return self._read(text, form, source)
        return self._check(*documents_of(text))

    def _read(self, text: str | bytes, form: Form | None, source: str | None) -> list[Checked]:
        return self._check(*read(text, form=form, source=source))

    def _check(self, documents: Sequence[Any], problems: Sequence[Problem]) -> list[Checked]:
        models = self._models(documents)
        checked = check_all(documents, allowed_targets=self._allowed_targets, actions=models)
        error = invalid(checked, problems)
        if error is not None:
            raise error
        return checked

    def _models(self, documents: Sequence[Document]) -> ActionModels | None:
        """Return what actions take, where there are rules: finding it out imports them."""
        has_rules = any(
            isinstance(one.value, dict) and kind_named(str(one.value.get("kind"))) == "trigger_rule"
            for one in documents
        )
        return self._actions() if has_rules and self._actions is not None else None

    async def _apply(
        self, checked: Sequence[Checked], *, dry_run: bool, if_revision: int | None
    ) -> list[Applied]:
        for race in range(_RACES):
            try:
                return await self._apply_once(checked, dry_run, if_revision)
            except StaleRevision as error:
                # Nobody asked for this revision: it is the one that was read a moment ago.
                if error.details.get("asked") or if_revision is not None or race == _RACES - 1:
                    raise
        raise AssertionError("the last race raises")

    async def _apply_once(
        self, checked: Sequence[Checked], dry_run: bool, if_revision: int | None
    ) -> list[Applied]:
        resources = [one.resource for one in checked if one.resource is not None]
        current = [await self._store.find_resource(r.kind, r.metadata.name) for r in resources]
        writes = []
        for resource, old in zip(resources, current, strict=True):
            refuse_stale(resource, old)
            seen = (old.metadata.revision or 0) if old is not None else 0
            writes.append(ResourceWrite(resource, seen if if_revision is None else if_revision))
        answers = await self._store_all(writes, dry_run=dry_run)
        doubts = await self._doubts.about(resources)
        pairs = zip(current, resources, strict=True)
        diffs = [await _diff(old, resource) for old, resource in pairs]
        return [
            answer.model_copy(
                update={
                    "diff": diffs[at],
                    "warnings": (*one.warnings, *doubts.get(at, ())),
                    "outlook": self._outlook(resources[at], current[at]),
                }
            )
            for at, (one, answer) in enumerate(zip(checked, answers, strict=True))
        ]

    def _outlook(self, new: Resource, old: Resource | None) -> Outlook | None:
        if new.kind != "trigger_rule":
            return None
        from flowdapt.domain.rule import outlook
        from flowdapt.domain.trigger import TriggerRuleSpec

        now = self._clock.now()
        made = old.metadata.created_at if old is not None else None
        return outlook(TriggerRuleSpec.model_validate(new.spec), made or now, now)

    async def _store_all(self, writes: Sequence[ResourceWrite], *, dry_run: bool) -> list[Applied]:
        if dry_run:
            return await self._store.apply(writes, dry_run=True)
        with self._catalog.changing():
            answers = await self._store.apply(writes)
        if any(answer.action != "unchanged" for answer in answers):
            self._broker.publish(Message(EVENT_ADDED, RESOURCE_APPLIED))
        return answers

    async def _prune(
        self, checked: Sequence[Checked], annotations: Mapping[str, Any], *, dry_run: bool
    ) -> list[Applied]:
        """Delete one by one; what changed under our eyes stays, with a warning."""
        stay = {(one.resource.kind, one.resource.metadata.name) for one in checked if one.resource}
        gone = []
        for kind in KINDS.values():
            async for resource in iter_resources(self._store, kind):
                metadata = resource.metadata
                if (kind, metadata.name) not in stay and carries(metadata.annotations, annotations):
                    gone.append(await self._pruned(resource, dry_run=dry_run))
        return gone

    async def _pruned(self, resource: Resource, *, dry_run: bool) -> Applied:
        kind, name, revision = (
            resource.kind,
            resource.metadata.name,
            resource.metadata.revision or 0,
        )
        if dry_run:
            return Applied(kind=kind, name=name, action="deleted", revision=revision)
        try:
            return await self.delete(kind, name, if_revision=revision)
        except (NotFound, StaleRevision) as error:
            warning = f"not deleted: {error.message}"
            return Applied(
                kind=kind, name=name, action="unchanged", revision=revision, warnings=(warning,)
            )

    # -- looking -------------------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str, *, revision: int | None = None) -> Resource:
        """Return a resource as it is, or as it was. Raise NotFound with a suggestion."""
        if revision is not None:
            return in_reading_order(await self._store.get_resource(kind, name, revision=revision))
        resource = await self._store.find_resource(kind, name)
        if resource is None:
            raise await missing(self._store, kind, name)
        return in_reading_order(resource)

    async def list_(
        self,
        kind: Kind,
        *,
        annotations: Mapping[str, str] | None = None,
        q: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Resource]:
        """List by name; all annotations must match, `q` is a part of the name."""
        page = await self._store.list_resources(
            kind, annotations=annotations, q=q, cursor=cursor, limit=limit
        )
        return Page([in_reading_order(resource) for resource in page.items], page.next)

    async def revisions(
        self, kind: Kind, name: str, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Resource]:
        """List the revisions, newest first. Raise NotFound."""
        page = await self._store.list_revisions(kind, name, cursor=cursor, limit=limit)
        return Page([in_reading_order(resource) for resource in page.items], page.next)

    async def describe(self, kind: Kind, name: str) -> Description:
        """Return a resource and how it stands to the others. Raise NotFound."""
        resource = await self.get(kind, name)
        if kind == "config":
            return Description(resource, workflows=await self._selected_by(resource))
        if kind == "trigger_rule":
            return Description(resource)
        compiled = await self._catalog.compiled(name)
        configs = chosen(name, compiled.annotations, await self._catalog.configs())
        return Description(
            resource,
            configs=tuple(config for config, _ in configs),
            config=json.loads(compiled.config),
            order=compiled.graph.order,
        )

    async def _selected_by(self, config: Resource) -> tuple[str, ...]:
        selector = ConfigSpec.model_validate(config.spec).selector
        return tuple(
            [
                workflow.metadata.name
                async for workflow in iter_resources(self._store, "workflow")
                if selector.selects(workflow.metadata.name, workflow.metadata.annotations)
            ]
        )


async def _diff(old: Resource | None, new: Resource) -> str:
    """Compare large ones in a thread, so that the loop goes on meanwhile."""
    if len(canonical(new.spec)) > _INLINE_TEXT:
        return await trio.to_thread.run_sync(unified_diff, old, new)
    return unified_diff(old, new)
