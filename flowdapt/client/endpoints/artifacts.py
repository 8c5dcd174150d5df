"""Calls about artifacts: named, durable files of a namespace, with metadata."""

from __future__ import annotations

from typing import Any

from flowdapt.client.endpoints.making import listed, nothing, path, raw, request, value
from flowdapt.client.wire import Call, Request

__all__ = ["delete", "files", "get", "list_", "preview", "put"]

_TRANSFER_S = 300.0


def list_(namespace: str = "default", *, q: str | None = None) -> Call[list[dict[str, Any]]]:
    """List the artifacts of a namespace with their files and metadata."""
    return Call(request("GET", "artifacts", namespace, given={"q": q}), listed)


def files(name: str, *, namespace: str = "default") -> Call[dict[str, Any]]:
    """Get one artifact: its metadata and its files."""
    return Call(request("GET", "artifacts", namespace, name), value)


def get(name: str, file: str, *, namespace: str = "default") -> Call[bytes]:
    """Get the bytes of a file."""
    made = request("GET", "artifacts", namespace, name, file, patience_s=_TRANSFER_S)
    return Call(made, raw)


def put(name: str, file: str, content: bytes, *, namespace: str = "default") -> Call[Any]:
    """Store a file; the artifact is made when there is none."""
    headers = (("content-type", "application/octet-stream"),)
    where = path("artifacts", namespace, name, file)
    return Call(Request("PUT", where, (), headers, content, _TRANSFER_S), value)


def delete(name: str, file: str | None = None, *, namespace: str = "default") -> Call[None]:
    """Delete one file, or the artifact with all its files."""
    parts = [name] if file is None else [name, file]
    return Call(request("DELETE", "artifacts", namespace, *parts), nothing)


def preview(name: str, file: str, *, namespace: str = "default") -> Call[dict[str, Any]]:
    """Say what a file holds: its type and its head."""
    return Call(request("GET", "artifacts", namespace, name, file, "preview"), value)
