"""Calls about workflows, configs and trigger rules: apply, read, replace, change, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import Response

from flowdapt.api.answers import API, answer, backend_of
from flowdapt.api.bodies import JSON_TYPES, read_json, require_media_type
from flowdapt.api.documents import YAML_TYPES, merged, name_of, not_a_document, read_document
from flowdapt.api.parameters import Cursor, Kinds, Limit, Pairs, Segment, Text, pairs
from flowdapt.api.problems import HttpProblem
from flowdapt.api.routing import Wire, new_router, problems, returns
from flowdapt.domain.errors import InvalidInput, NotFound, StaleRevision
from flowdapt.domain.resource import KINDS, Applied, Kind, Resource

__all__ = ["router"]

router = new_router("resources")

_MERGE_TYPES = JSON_TYPES | {"application/merge-patch+json"}
_DOCUMENTS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/Document"},
                        {"type": "array", "items": {"$ref": "#/components/schemas/Document"}},
                    ]
                }
            },
            "application/yaml": {"schema": {"type": "string"}},
        },
    }
}
_DOCUMENT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Document"}},
            "application/yaml": {"schema": {"type": "string"}},
        },
    }
}
_PATCH = {
    "requestBody": {
        "required": True,
        "content": {
            media: {"schema": {"type": "object", "additionalProperties": True}}
            for media in sorted(_MERGE_TYPES)
        },
    }
}
DryRun = Annotated[bool, Query(description="Say what would change, and change nothing.")]
IfMatch = Annotated[
    str | None,
    Header(
        pattern=r'^(\*|"\d{1,12}")$', description="The ETag of the revision that is to be changed."
    ),
]


class AppliedList(Wire):
    """What became of each document, in their order."""

    items: list[Applied]


class ResourcePage(Wire):
    """Resources by name; `next` is the cursor of the following page."""

    items: list[Resource]
    next: str | None = None


def _etag(resource: Resource) -> dict[str, str]:
    return {"etag": f'"{resource.metadata.revision}"'}


def _revision(if_match: str | None) -> int | None:
    if if_match is None or if_match == "*":
        return None
    return int(if_match.strip('"'))


@router.post(
    "/apply",
    responses=returns(AppliedList) | problems(400, 409, 413, 415, 422, 503, 507),
    openapi_extra=_DOCUMENTS,
)
async def apply_documents(
    request: Request,
    *,
    dry_run: DryRun = False,
    prune: Annotated[
        list[str],
        Query(
            default_factory=list,
            description="`name=value`: delete what carries these annotations and is not sent.",
        ),
    ],
) -> Response:
    """Apply documents, all or none; several in one body are fine."""
    media = require_media_type(request, JSON_TYPES | YAML_TYPES)
    applied = await backend_of(request).resources.apply(
        await request.body(),
        form="json" if media in JSON_TYPES else "yaml",
        dry_run=dry_run,
        prune=pairs("prune", prune) or None,
    )
    if not applied:
        raise InvalidInput(
            "there is no document in the body", code="document.none", fix="send at least one"
        )
    return answer(AppliedList(items=applied))


@router.get("/{kinds:kinds}", responses=returns(ResourcePage) | problems(404, 422))
async def list_resources(
    request: Request,
    kinds: Kinds,
    *,
    annotation: Pairs,
    q: Text = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """List the resources of a kind by name."""
    page = await backend_of(request).resources.list_(
        KINDS[kinds],
        annotations=pairs("annotation", annotation) or None,
        q=q,
        cursor=cursor,
        limit=limit,
    )
    return answer(ResourcePage(items=page.items, next=page.next))


@router.post(
    "/{kinds:kinds}",
    status_code=201,
    responses=returns(Resource, 201) | problems(400, 404, 409, 413, 415, 422, 503, 507),
    openapi_extra=_DOCUMENT,
)
async def create_resource(request: Request, kinds: Kinds) -> Response:
    """Create a resource; Conflict when its name is taken."""
    document = await read_document(request, KINDS[kinds])
    name = name_of(document)
    applied = await _apply_one(request, document, if_revision=0)
    resource = await backend_of(request).resources.get(KINDS[kinds], name)
    location = {"location": f"{API}/{kinds}/{applied.name}"}
    return answer(resource, 201, location | _etag(resource))


@router.get("/{kinds:kinds}/{name}", responses=returns(Resource) | problems(404, 422))
async def get_resource(
    request: Request,
    kinds: Kinds,
    name: Segment,
    revision: Annotated[int | None, Query(ge=1, le=10**9)] = None,
) -> Response:
    """Get a resource as it is, or as it was at a revision."""
    resource = await backend_of(request).resources.get(KINDS[kinds], name, revision=revision)
    return answer(resource, 200, _etag(resource))


@router.put(
    "/{kinds:kinds}/{name}",
    responses=returns(Resource)
    | returns(Resource, 201, "It is new.")
    | problems(400, 404, 409, 412, 413, 415, 422, 503, 507),
    openapi_extra=_DOCUMENT,
)
async def replace_resource(
    request: Request, kinds: Kinds, name: Segment, if_match: IfMatch = None
) -> Response:
    """Store a resource under this name, new or in place of the one there."""
    document = await read_document(request, KINDS[kinds])
    return await _stored(request, kinds, name, document, if_match)


@router.patch(
    "/{kinds:kinds}/{name}",
    responses=returns(Resource) | problems(400, 404, 409, 412, 413, 415, 422, 503, 507),
    openapi_extra=_PATCH,
)
async def change_resource(
    request: Request, kinds: Kinds, name: Segment, if_match: IfMatch = None
) -> Response:
    """Change parts of a resource (JSON Merge Patch, RFC 7396)."""
    require_media_type(request, _MERGE_TYPES)
    patch = read_json(await request.body())
    current = await backend_of(request).resources.get(KINDS[kinds], name)
    document = current.model_dump(mode="json", exclude_none=True)
    # The revision that was read stays a precondition, so that no change of others is lost.
    changed = merged(document, patch)
    if not isinstance(changed, dict):
        raise not_a_document()
    return await _stored(request, kinds, name, changed, if_match)


@router.delete(
    "/{kinds:kinds}/{name}",
    responses=returns(Applied) | problems(404, 409, 412, 422, 503, 507),
)
async def delete_resource(
    request: Request, kinds: Kinds, name: Segment, if_match: IfMatch = None
) -> Response:
    """Delete a resource; its runs keep the revision they began with."""
    revision = _revision(if_match)
    try:
        applied = await backend_of(request).resources.delete(
            KINDS[kinds], name, if_revision=revision
        )
    except StaleRevision as error:
        raise _precondition(error, if_match) from None
    return answer(applied)


@router.get("/{kinds:kinds}/{name}/revisions", responses=returns(ResourcePage) | problems(404, 422))
async def list_revisions(
    request: Request, kinds: Kinds, name: Segment, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """List the revisions of a resource, newest first."""
    page = await backend_of(request).resources.revisions(
        KINDS[kinds], name, cursor=cursor, limit=limit
    )
    return answer(ResourcePage(items=page.items, next=page.next))


async def _stored(
    request: Request, kinds: str, name: str, document: dict[str, Any], if_match: str | None
) -> Response:
    if name_of(document) != name:
        raise InvalidInput(
            f"the document is named {name_of(document)!r}, the path says {name!r}",
            code="document.other_name",
            fix="use the same name in both",
        )
    resources = backend_of(request).resources
    revision = _revision(if_match)
    if if_match == "*":
        revision = (await _existing(request, KINDS[kinds], name)).metadata.revision
    try:
        applied = await _apply_one(request, document, if_revision=revision)
    except StaleRevision as error:
        raise _precondition(error, if_match) from None
    resource = await resources.get(KINDS[kinds], name)
    return answer(resource, 201 if applied.action == "created" else 200, _etag(resource))


async def _existing(request: Request, kind: Kind, name: str) -> Resource:
    try:
        return await backend_of(request).resources.get(kind, name)
    except NotFound as error:
        raise HttpProblem(412, error.message, code="resource.stale", fix=error.fix) from None


def _precondition(error: StaleRevision, if_match: str | None) -> Exception:
    if if_match is None:
        return error
    return HttpProblem(412, error.message, code="resource.stale", fix=error.fix)


async def _apply_one(
    request: Request, document: dict[str, Any], *, if_revision: int | None
) -> Applied:
    resources = backend_of(request).resources
    (applied,) = await resources.apply([document], if_revision=if_revision)
    return applied
