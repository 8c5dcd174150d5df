"""Calls about artifacts: lists, bytes in and out, metadata and previews. Nothing is ever decoded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from datetime import datetime
from typing import IO, Any

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from flowdapt.api.answers import answer, backend_of
from flowdapt.api.parameters import Segment, Text
from flowdapt.api.routing import Responses, Wire, new_router, problems, returns
from flowdapt.api.stream import ByteStream
from flowdapt.domain.errors import InvalidInput
from flowdapt.runtime.artifact_store import ArtifactStore
from flowdapt.runtime.folders import FileInfo

__all__ = ["router"]

router = new_router("artifacts")

_CHUNK = 256 * 1024
# What somebody stored must not run in a browser, whatever it is called.
_AS_ATTACHMENT = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cache-control": "no-store",
}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


_FILE: Responses = {200: {"description": "The bytes.", "content": _BYTES}}


class ArtifactFile(Wire):
    """A file of an artifact."""

    name: str
    size_bytes: int
    modified_at: datetime


class ArtifactSummary(Wire):
    """An artifact in a list."""

    namespace: str
    name: str
    files: int
    size_bytes: int
    modified_at: datetime


class ArtifactList(Wire):
    """The artifacts of a namespace, by name."""

    items: list[ArtifactSummary]


class ArtifactDetail(Wire):
    """An artifact with its files and metadata."""

    namespace: str
    name: str
    files: list[ArtifactFile]
    metadata: dict[str, Any]


class ArtifactPreview(Wire):
    """What can be shown of a file without decoding it."""

    file: str
    size_bytes: int
    format: str | None
    about: dict[str, Any]
    text: str | None
    truncated: bool


def _file(info: FileInfo) -> ArtifactFile:
    return ArtifactFile(name=info.name, size_bytes=info.size_bytes, modified_at=info.modified_at)


def _limiter(request: Request) -> trio.CapacityLimiter:
    limiter: trio.CapacityLimiter = backend_of(request).transfers
    return limiter


@router.get("/artifacts/{namespace}", responses=returns(ArtifactList) | problems(422))
async def list_artifacts(request: Request, namespace: Segment, q: Text = None) -> Response:
    """List the artifacts of a namespace."""
    found = await trio.to_thread.run_sync(backend_of(request).artifacts.list_, namespace)
    items = [
        ArtifactSummary(
            namespace=one.namespace,
            name=one.name,
            files=one.files,
            size_bytes=one.size_bytes,
            modified_at=one.modified_at,
        )
        for one in found
        if q is None or q in one.name
    ]
    return answer(ArtifactList(items=items))


@router.get("/artifacts/{namespace}/{name}", responses=returns(ArtifactDetail) | problems(404, 422))
async def get_artifact(request: Request, namespace: Segment, name: Segment) -> Response:
    """Get the files and the metadata of an artifact."""
    store = backend_of(request).artifacts

    def read() -> tuple[list[FileInfo], dict[str, Any]]:
        return store.files(namespace, name), store.metadata(namespace, name)

    files, metadata = await trio.to_thread.run_sync(read)
    detail = ArtifactDetail(
        namespace=namespace, name=name, files=[_file(one) for one in files], metadata=metadata
    )
    return answer(detail)


@router.delete("/artifacts/{namespace}/{name}", status_code=204, responses=problems(404, 422, 507))
async def delete_artifact(request: Request, namespace: Segment, name: Segment) -> Response:
    """Delete an artifact with all its files."""
    await trio.to_thread.run_sync(backend_of(request).artifacts.delete, namespace, name)
    return Response(status_code=204)


@router.get(
    "/artifacts/{namespace}/{name}/{file}",
    responses=_FILE | problems(404, 422),
)
async def get_file(request: Request, namespace: Segment, name: Segment, file: Segment) -> Response:
    """Stream the bytes of a file, always as an attachment."""
    store = backend_of(request).artifacts
    limiter = _limiter(request)

    def start() -> tuple[IO[bytes], int]:
        opened = store.open(namespace, name, file)
        size = opened.seek(0, 2)
        opened.seek(0)
        return opened, size

    handle, size = await trio.to_thread.run_sync(start, limiter=limiter)
    headers = _AS_ATTACHMENT | {
        "content-length": str(size),
        "content-disposition": f'attachment; filename="{file}"',
    }
    return ByteStream(
        _pieces(handle, size, limiter), media_type="application/octet-stream", headers=headers
    )


async def _pieces(
    handle: IO[bytes], size: int, limiter: trio.CapacityLimiter
) -> AsyncGenerator[bytes, None]:
    """Yield exactly the announced number of bytes; a file that shrank ends the connection."""
    try:
        left = size
        while left:
            piece = await trio.to_thread.run_sync(handle.read, min(_CHUNK, left), limiter=limiter)
            if not piece:
                return
            left -= len(piece)
            yield piece
    finally:
        handle.close()


@router.put(
    "/artifacts/{namespace}/{name}/{file}",
    status_code=201,
    responses=returns(ArtifactFile, 201) | problems(400, 413, 415, 422, 507),
    openapi_extra={"requestBody": {"content": _BYTES}},
)
async def put_file(request: Request, namespace: Segment, name: Segment, file: Segment) -> Response:
    """Store a file from the body as it comes. Whole or not at all."""
    backend = backend_of(request)
    store: ArtifactStore = backend.artifacts
    parts = request.stream()

    def chunks() -> Iterator[bytes]:
        while part := trio.from_thread.run(_next_part, parts):
            yield part

    def write() -> FileInfo:
        return store.put_file(namespace, name, file, chunks(), backend.limits.artifact_bytes)

    try:
        info = await trio.to_thread.run_sync(write, limiter=backend.transfers)
    except ClientDisconnect:
        raise InvalidInput(
            "the body ended early", code="http.body_cut", fix="send it again, whole"
        ) from None
    return answer(_file(info), 201)


async def _next_part(parts: AsyncIterator[bytes]) -> bytes:
    """Return the next bytes that have come; empty at the end."""
    async for part in parts:
        if part:
            return part
    return b""


@router.delete(
    "/artifacts/{namespace}/{name}/{file}", status_code=204, responses=problems(404, 422, 507)
)
async def delete_file(
    request: Request, namespace: Segment, name: Segment, file: Segment
) -> Response:
    """Delete one file of an artifact."""
    await trio.to_thread.run_sync(backend_of(request).artifacts.delete, namespace, name, file)
    return Response(status_code=204)


@router.get(
    "/artifacts/{namespace}/{name}/{file}/preview",
    responses=returns(ArtifactPreview) | problems(404, 422),
)
async def preview_file(
    request: Request, namespace: Segment, name: Segment, file: Segment
) -> Response:
    """Say what a file holds, without decoding it."""
    found = await trio.to_thread.run_sync(
        backend_of(request).artifacts.preview, namespace, name, file
    )
    preview = ArtifactPreview(
        file=found.file,
        size_bytes=found.size_bytes,
        format=found.format,
        about=found.about,
        text=found.text,
        truncated=found.truncated,
    )
    return answer(preview)
