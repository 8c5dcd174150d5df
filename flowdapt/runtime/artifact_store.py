"""Decide what an artifact is on a file system: checked names, files, what is known beside them, limits.

Bytes only, so the daemon may use it as well as a worker: nothing here decodes a value. Synchronous; call it
in a thread. Where the bytes lie is left to `folders.py`, what they mean to `formats.py`.
"""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from flowdapt.domain.errors import (
    InvalidInput,
    MissingArtifact,
    StorageFull,
    StoreUnwritable,
    TooLarge,
)
from flowdapt.domain.segment import check_name
from flowdapt.runtime.artifact_records import About, ArtifactInfo, Preview, Sidecar
from flowdapt.runtime.folders import FileInfo, Folder
from flowdapt.runtime.local_folder import LocalFolder
from flowdapt.runtime.remote_folder import RemoteFolder

__all__ = ["ArtifactStore"]

METADATA_MAX_BYTES = 1024 * 1024
PREVIEW_BYTES = 16 * 1024
_SIDECAR = ".artifact.json"
_ABOUT = ".about."
_TEXTS = (
    ".json",
    ".jsonl",
    ".txt",
    ".csv",
    ".tsv",
    ".md",
    ".log",
    ".yaml",
    ".yml",
    ".toml",
    ".xml",
)
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArtifactStore:
    """The artifacts below one path or URL, as `<namespace>/<name>/<file>`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._folder = _open_folder(url)

    # -- reading ---------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        """List the namespaces that have a folder."""
        return self._folder.names()

    def list_(self, namespace: str) -> list[ArtifactInfo]:
        """List the artifacts of a namespace by name."""
        check_name(namespace, "namespace")
        names = [name for name in self._folder.names(namespace) if _is_name(name)]
        found = (self._info(namespace, name) for name in names)
        return [info for info in found if info is not None]

    def files(self, namespace: str, name: str) -> list[FileInfo]:
        """List the files of an artifact; raise MissingArtifact."""
        _check(namespace, name)
        files = self._folder.files(namespace, name)
        if not files and self._read(namespace, name, _SIDECAR) is None:
            raise _missing(namespace, name)
        return [file for file in files if _is_name(file.name)]

    def exists(self, namespace: str, name: str, file: str | None = None) -> bool:
        """Say whether the artifact, or that file of it, is there."""
        try:
            files = self.files(namespace, name)
        except MissingArtifact:
            return False
        return file is None or any(one.name == file for one in files)

    def open(self, namespace: str, name: str, file: str) -> IO[bytes]:
        """Open a file for reading, seekable; raise MissingArtifact. Links and devices count as missing."""
        _check(namespace, name, file)
        try:
            return self._folder.open(namespace, name, file)
        except FileNotFoundError:
            raise _missing(namespace, name, file) from None

    def metadata(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the metadata of an artifact; raise MissingArtifact."""
        self.files(namespace, name)
        return self.sidecar(namespace, name).metadata

    def preview(
        self, namespace: str, name: str, file: str | None = None, *, limit: int = PREVIEW_BYTES
    ) -> Preview:
        """Return what can be shown of a file (of the value without a `file`), nothing decoded."""
        file = file or self.value_file(namespace, name)
        about = self.about(namespace, name, file)
        with self.open(namespace, name, file) as handle:
            size = handle.seek(0, io.SEEK_END)
            handle.seek(0)
            is_text = file.endswith(_TEXTS)
            text = handle.read(limit).decode("utf-8", "replace") if is_text else None
        return Preview(
            file=file,
            size_bytes=size,
            format=about.format if about else None,
            about=about.preview if about else {},
            text=text,
            truncated=is_text and size > limit,
        )

    def value_file(self, namespace: str, name: str) -> str:
        """Return the file that stands for the artifact: the value's, or the only one."""
        files = [one.name for one in self.files(namespace, name)]
        chosen = self.sidecar(namespace, name).value
        if chosen in files:
            return chosen
        if len(files) == 1:
            return files[0]
        if not files:
            raise _missing(namespace, name, "value")
        raise InvalidInput(
            f"artifact {name!r} has {len(files)} files", fix=f"name one: {', '.join(files[:10])}"
        )

    def sidecar(self, namespace: str, name: str) -> Sidecar:
        """Return what is kept beside the files; empty where nothing is, or nothing legible."""
        content = self._read(namespace, name, _SIDECAR)
        with suppress(msgspec.MsgspecError):
            return msgspec.json.decode(content or b"{}", type=Sidecar)
        return Sidecar()

    def about(self, namespace: str, name: str, file: str) -> About | None:
        """Return what `put` knew of a file; None for files that came otherwise."""
        _check(namespace, name, file)
        content = self._read(namespace, name, _ABOUT + file)
        with suppress(msgspec.MsgspecError):
            return msgspec.json.decode(content, type=About) if content else None
        return None

    # -- writing ---------------------------------------------------------------------------------

    def put_file(
        self, namespace: str, name: str, file: str, chunks: Iterable[bytes], limit: int
    ) -> FileInfo:
        """Store a file from chunks of bytes; raise TooLarge beyond `limit`, StorageFull. Never half."""
        size = 0
        with self.writing(namespace, name, file) as handle:
            for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"{file!r} is larger than {limit} bytes")
                handle.write(chunk)
        return FileInfo(file, size, datetime.now(UTC))

    @contextmanager
    def writing(
        self, namespace: str, name: str, file: str, *, about: bool = False
    ) -> Iterator[IO[bytes]]:
        """Give a file to write; it appears, whole, when the block ends well.

        What was known of a file of that name is forgotten, unless the caller says (`about`) that it
        calls `note` next.
        """
        _check(namespace, name, file)
        with _room_for(name), self._folder.write(namespace, name, file) as handle:
            yield handle
        if not about:
            self._forget(namespace, name, file)

    def note(self, namespace: str, name: str, file: str, about: About) -> None:
        """Keep what is known of a file beside it."""
        self._write(namespace, name, _ABOUT + file, msgspec.json.encode(about))

    def set_sidecar(self, namespace: str, name: str, sidecar: Sidecar) -> None:
        """Replace what is kept beside the files; makes the artifact where it is not there yet."""
        _check(namespace, name)
        try:
            content = msgspec.json.encode(sidecar)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"metadata must be JSON values: {error}") from error
        if len(content) > METADATA_MAX_BYTES:
            raise TooLarge(f"metadata of artifact {name!r} are over {METADATA_MAX_BYTES} bytes")
        sidecar.created_at = sidecar.created_at or time.time()
        self._write(namespace, name, _SIDECAR, msgspec.json.encode(sidecar))

    def set_metadata(self, namespace: str, name: str, metadata: dict[str, Any]) -> None:
        """Replace the metadata of an artifact; raise MissingArtifact."""
        self.files(namespace, name)
        sidecar = self.sidecar(namespace, name)
        sidecar.metadata = metadata
        self.set_sidecar(namespace, name, sidecar)

    def delete(self, namespace: str, name: str, file: str | None = None) -> None:
        """Delete one file, or the artifact with all its files; raise MissingArtifact."""
        _check(namespace, name, file)
        try:
            if file is None:
                self._folder.remove_all(namespace, name)
            else:
                self._folder.remove(namespace, name, file)
        except FileNotFoundError:
            raise _missing(namespace, name, file) from None
        if file is not None:
            self._forget(namespace, name, file)

    def sweep(self, older_than_s: float = 3600.0) -> int:
        """Delete what broken-off writes left behind; return how many things that were."""
        return self._folder.sweep(older_than_s)

    # -- inside ----------------------------------------------------------------------------------

    def _info(self, namespace: str, name: str) -> ArtifactInfo | None:
        try:
            files = self.files(namespace, name)
        except MissingArtifact:
            return None
        newest = max((file.modified_at for file in files), default=None)
        if newest is None:
            newest = datetime.fromtimestamp(self.sidecar(namespace, name).created_at, UTC)
        total = sum(file.size_bytes for file in files)
        return ArtifactInfo(namespace, name, len(files), total, newest)

    def _read(self, namespace: str, name: str, hidden: str) -> bytes | None:
        try:
            with self._folder.open(namespace, name, hidden) as handle:
                return handle.read(2 * METADATA_MAX_BYTES)
        except FileNotFoundError:
            return None

    def _write(self, namespace: str, name: str, hidden: str, content: bytes) -> None:
        with _room_for(name), self._folder.write(namespace, name, hidden) as handle:
            handle.write(content)

    def _forget(self, namespace: str, name: str, file: str) -> None:
        with suppress(FileNotFoundError):
            self._folder.remove(namespace, name, _ABOUT + file)


def _check(namespace: str, name: str, file: str | None = None) -> None:
    check_name(namespace, "namespace")
    check_name(name, "artifact name")
    if file is not None:
        check_name(file, "file name")


def _is_name(text: str) -> bool:
    with suppress(InvalidInput):
        return bool(check_name(text))
    return False


def _missing(namespace: str, name: str, file: str | None = None) -> MissingArtifact:
    what = f"artifact {name!r}" if file is None else f"file {file!r} in artifact {name!r}"
    return MissingArtifact(
        f"there is no {what} in namespace {namespace!r}", fix="flowdapt artifact ls"
    )


@contextmanager
def _room_for(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(
                f"no space is left for artifact {name!r}; nothing of it was changed",
                fix="make room, then run the stage again",
            ) from error
        if error.errno == errno.EROFS:
            raise StoreUnwritable(f"artifact {name!r} lies on a read-only file system") from error
        raise


def _open_folder(url: str) -> Folder:
    """Return the folder at a path or URL; only plain URLs of one protocol are taken."""
    if "::" in url:
        raise InvalidInput(f"{url!r} chains protocols; name one place, such as s3://bucket/path")
    protocol, separator, rest = url.partition("://")
    if not separator or protocol in {"file", "local"}:
        return LocalFolder(Path(rest if separator else url))
    return RemoteFolder(url)
