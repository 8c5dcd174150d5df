"""Calls about resources: apply, list, get, replace, delete, and their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flowdapt.client.endpoints.making import page, path, query, request
from flowdapt.client.wire import Call, Request, Response, json_of
from flowdapt.domain.errors import NotFound

if TYPE_CHECKING:
    from flowdapt.domain.resource import Applied, Resource
    from flowdapt.ports.store import Page

__all__ = ["PATHS", "apply", "delete", "get", "list_", "revisions"]

# kind -> the segment of its path
PATHS = {"workflow": "workflows", "config": "configs", "trigger_rule": "triggers"}
YAML = ("content-type", "application/yaml")


def _segment(kind: str) -> str:
    try:
        return PATHS[kind]
    except KeyError:
        raise NotFound(f"there is no kind {kind!r}", fix=f"kinds are {', '.join(PATHS)}") from None


def _resource_of(found: Any) -> Resource:
    from flowdapt.domain.resource import Resource

    return Resource.model_validate(found)


def _resource(response: Response) -> Resource:
    return _resource_of(json_of(response))


def _applied(response: Response) -> Applied:
    from flowdapt.domain.resource import Applied

    return Applied.model_validate(json_of(response))


def _all_applied(response: Response) -> list[Applied]:
    from flowdapt.domain.resource import Applied

    return [Applied.model_validate(one) for one in json_of(response)["items"]]


def _plain(document: Any) -> Any:
    dump = getattr(document, "model_dump", None)
    return document if dump is None else dump(mode="json", exclude_none=True)


def apply(documents: str | bytes | Sequence[Any], *, dry_run: bool = False) -> Call[list[Applied]]:
    """Apply documents, all or none: YAML text, or a list of mappings (or resources)."""
    given = {"dry_run": dry_run}
    if isinstance(documents, str | bytes):
        text = documents.encode() if isinstance(documents, str) else documents
        made = Request("POST", path("apply"), query(given), (YAML,), text)
        return Call(made, _all_applied)
    content = [_plain(one) for one in documents]
    return Call(request("POST", "apply", given=given, content=content), _all_applied)


def list_(
    kind: str,
    *,
    annotation: Sequence[str] = (),
    q: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[Page[Resource]]:
    """List the resources of a kind by name. Annotations are `name=value`, all must match."""
    given = {"annotation": list(annotation), "q": q, "cursor": cursor, "limit": limit}
    made = request("GET", _segment(kind), given=given)
    return Call(made, lambda answer: page(answer, _resource_of))


def get(kind: str, name: str, *, revision: int | None = None) -> Call[Resource]:
    """Get a resource as it is, or as it was at a revision."""
    return Call(request("GET", _segment(kind), name, given={"revision": revision}), _resource)


def revisions(
    kind: str, name: str, *, cursor: str | None = None, limit: int | None = None
) -> Call[Page[Resource]]:
    """List the revisions of a resource, newest first."""
    made = request(
        "GET", _segment(kind), name, "revisions", given={"cursor": cursor, "limit": limit}
    )
    return Call(made, lambda answer: page(answer, _resource_of))


def delete(kind: str, name: str, *, if_revision: int | None = None) -> Call[Applied]:
    """Delete a resource; StaleRevision when it is no more at `if_revision`."""
    headers = () if if_revision is None else (("if-match", f'"{if_revision}"'),)
    return Call(request("DELETE", _segment(kind), name, headers=headers), _applied)
