"""Keep artifacts wherever fsspec reaches: memory, s3, … Files are written here and sent when complete."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from flowdapt.domain.errors import InvalidInput
from flowdapt.runtime.folders import TEMPORARY, FileInfo, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RemoteFolder"]

# Stores in which a file appears at once when its upload is complete: no rename needed, or cheap.
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "adl", "oss"})


class RemoteFolder(Folder):
    """A place that fsspec knows: memory, s3, … Its credentials come from the environment, as usual there."""

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            # A cached listing would hide what another worker has just written.
            self._system, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise InvalidInput(f"artifacts cannot be kept at {url!r}: {error}") from error
        protocols = self._system.protocol
        self._protocols = {protocols} if isinstance(protocols, str) else set(protocols)

    def names(self, *parts: str) -> list[str]:
        found = self._list(*parts)
        return sorted(name for name, entry in found.items() if entry["type"] == "directory")

    def files(self, namespace: str, name: str) -> list[FileInfo]:
        return [
            FileInfo(file, int(entry["size"] or 0), _modified(entry))
            for file, entry in sorted(self._list(namespace, name).items())
            if entry["type"] == "file"
        ]

    def open(self, namespace: str, name: str, file: str) -> IO[bytes]:
        handle: IO[bytes] = self._system.open(self._path(namespace, name, file), "rb")
        return handle

    @contextmanager
    def write(self, namespace: str, name: str, file: str) -> Iterator[IO[bytes]]:
        # Closing a half-written remote file would publish it: write here, send when complete.
        with tempfile.NamedTemporaryFile() as spool:
            yield spool
            spool.flush()
            self._send(spool.name, namespace, name, file)

    def remove(self, namespace: str, name: str, file: str) -> None:
        self._system.rm_file(self._path(namespace, name, file))

    def remove_all(self, namespace: str, name: str) -> None:
        self._system.rm(self._path(namespace, name), recursive=True)

    def sweep(self, older_than_s: float) -> int:
        return 0  # nothing is left behind: files appear when they are complete

    def _send(self, local: str, namespace: str, name: str, file: str) -> None:
        path = self._path(namespace, name, file)
        if self._protocols & OBJECT_STORES:
            self._system.put_file(local, path)
            return
        self._system.makedirs(self._path(namespace, name), exist_ok=True)
        temporary = self._path(namespace, name, TEMPORARY + secrets.token_hex(8))
        try:
            self._system.put_file(local, temporary)
            self._system.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self._system.rm_file(temporary)
            raise

    def _list(self, *parts: str) -> dict[str, dict[str, Any]]:
        try:
            entries = self._system.ls(self._path(*parts), detail=True)
        except FileNotFoundError:
            return {}
        named = {entry["name"].rstrip("/").rpartition("/")[2]: entry for entry in entries}
        return {name: entry for name, entry in named.items() if name and not name.startswith(".")}

    def _path(self, *parts: str) -> str:
        return "/".join([self._root.rstrip("/"), *parts])


def _modified(entry: dict[str, Any]) -> datetime:
    value = entry.get("LastModified") or entry.get("mtime") or entry.get("created")
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(float(value), UTC) if value else datetime.fromtimestamp(0, UTC)
