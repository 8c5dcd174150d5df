"""Decide which one document a body holds, and what a merge patch makes of one.

What a document may say is the services' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowdapt.api.answers import API
from flowdapt.api.bodies import JSON_TYPES, read_json, require_media_type
from flowdapt.domain.errors import InvalidInput

if TYPE_CHECKING:
    from starlette.requests import Request

    from flowdapt.domain.resource import Kind

__all__ = ["YAML_TYPES", "merged", "name_of", "not_a_document", "read_document"]

YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


async def read_document(request: Request, kind: Kind) -> dict[str, Any]:
    """Return the one document of the body, of the kind that the path says."""
    form = require_media_type(request, JSON_TYPES | YAML_TYPES)
    text = await request.body()
    value = read_json(text) if form in JSON_TYPES else _one_of_yaml(text)
    if not isinstance(value, dict):
        raise not_a_document()
    if value.setdefault("kind", kind) != kind:
        raise InvalidInput(
            f"the document is a {value['kind']!r}, the path takes a {kind}",
            code="document.other_kind",
            fix=f"send kind: {kind}, or use POST {API}/apply",
        )
    return value


def _one_of_yaml(text: bytes) -> Any:
    from flowdapt.domain import documents

    found, wrong = documents.read(text, form="yaml")
    if wrong:
        raise InvalidInput(wrong[0].message, code=wrong[0].code, problems=wrong, fix=wrong[0].fix)
    return found[0].value if len(found) == 1 else None


def not_a_document() -> InvalidInput:
    return InvalidInput(
        "the body is not one document", code="document.not_one", fix="send one mapping"
    )


def name_of(document: dict[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        raise InvalidInput(
            "metadata.name is missing", code="document.no_name", fix="give the document a name"
        )
    return name


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
