"""Decide how a resource is shown as a document, what changed between two, and what is stale."""

from __future__ import annotations

import difflib
import json
from typing import Any

from pydantic import ValidationError

from flowdapt.domain.errors import StaleRevision
from flowdapt.domain.explain import SPECS
from flowdapt.domain.resource import Metadata, Resource, canonical
from flowdapt.domain.yaml_writing import to_yaml

__all__ = ["document_of", "in_reading_order", "refuse_stale", "unified_diff"]

# Comparing costs more than linear time; nobody reads a diff of this length.
_DIFF_MAX_LINES = 5_000


def in_reading_order(resource: Resource) -> Resource:
    """Return it with the keys of its spec as the models have them: stores sort them."""
    try:
        spec = SPECS[resource.kind].model_validate(resource.spec)
    except ValidationError:
        return resource  # written under older rules: shown as it is
    return resource.model_copy(update={"spec": spec.model_dump(mode="json", exclude_defaults=True)})


def document_of(resource: Resource, *, server_fields: bool = True) -> dict[str, Any]:
    """Return the document that stores this resource again, as `get -o yaml` prints it."""
    ordered = in_reading_order(resource)
    mine = None if server_fields else {"name", "annotations"}
    metadata = ordered.metadata.model_dump(mode="json", exclude_none=True, include=mine)
    if not metadata.get("annotations"):
        metadata.pop("annotations", None)
    return {"kind": ordered.kind, "metadata": metadata, "spec": ordered.spec}


def unified_diff(old: Resource | None, new: Resource) -> str:
    """Return what changes as a unified diff of YAML; empty when nothing does."""
    before = [] if old is None else _lines(old)
    after = _lines(new)
    name = f"{new.kind}/{new.metadata.name}"
    revision = 0 if old is None else old.metadata.revision
    if max(len(before), len(after)) > _DIFF_MAX_LINES:
        return f"{name}: {len(before)} lines become {len(after)}; too long for a diff\n"
    return "".join(
        difflib.unified_diff(before, after, f"{name} (revision {revision})", f"{name} (new)")
    )


def _lines(resource: Resource) -> list[str]:
    """Free mappings are compared by key: a store does not keep the order in which they were written."""
    content = {"annotations": resource.metadata.annotations, "spec": resource.spec}
    by_key = json.loads(canonical(content))
    metadata = resource.metadata.model_copy(update={"annotations": by_key["annotations"]})
    same = resource.model_copy(update={"metadata": metadata, "spec": by_key["spec"]})
    return to_yaml(document_of(same, server_fields=False)).splitlines(keepends=True)


def refuse_stale(new: Resource, current: Resource | None) -> None:
    """Raise StaleRevision when the document carries server-owned metadata that is not current."""
    sent, stored = _owned(new.metadata), {} if current is None else _owned(current.metadata)
    stale = sorted(key for key, value in sent.items() if stored.get(key) != value)
    if not stale:
        return
    name = f"{new.kind} {new.metadata.name!r}"
    there = "does not exist" if current is None else f"is at revision {current.metadata.revision}"
    said = f"revision {sent['revision']}" if "revision" in stale else f"another {stale[0]}"
    raise StaleRevision(
        f"{name} {there}; the document was made from {said}",
        fix=f"get it again, or remove {', '.join(f'metadata.{key}' for key in sent)} to overwrite",
        details={"asked": True},
    )


def _owned(metadata: Metadata) -> dict[str, Any]:
    return metadata.model_dump(
        exclude_none=True, include={"uid", "revision", "created_at", "updated_at"}
    )
