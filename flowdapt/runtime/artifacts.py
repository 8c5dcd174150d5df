"""Offer artifacts to stage code: put and get values by name, open files, keep metadata.

`flowdapt.artifacts`. Inside a stage the namespace is the run's and the place is the executor's; elsewhere an
`ArtifactStore` with its URL does the same work on bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, Literal

from flowdapt.domain.errors import DamagedValue, InvalidInput, MissingArtifact, NonRetryable
from flowdapt.runtime.artifact_records import About, Sidecar
from flowdapt.runtime.artifact_store import ArtifactStore
from flowdapt.runtime.context import find_run_context, get_run_context
from flowdapt.runtime.formats import format_for, format_of_file, get_format

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from flowdapt.runtime.folders import FileInfo
    from flowdapt.runtime.formats import Format

__all__ = [
    "Artifact",
    "ArtifactStore",
    "delete",
    "exists",
    "get",
    "get_artifact",
    "list_",
    "list_artifacts",
    "new_artifact",
    "open",
    "put",
]

Mode = Literal["r", "w", "rb", "wb"]
_CHUNK = 1024 * 1024
_NOTE_FOLLOWS_S = 0.1

_stores: dict[str, ArtifactStore] = {}


class Artifact:
    """A named set of files with metadata. It is a reference: nothing is read before it is asked for."""

    def __init__(self, store: ArtifactStore, namespace: str, name: str) -> None:
        self._store = store
        self.namespace = namespace
        self.name = name

    def __repr__(self) -> str:
        return f"<Artifact {self.namespace}/{self.name}>"

    @property
    def files(self) -> list[FileInfo]:
        """The files, by name; raise MissingArtifact when the artifact is gone."""
        return self._store.files(self.namespace, self.name)

    @property
    def metadata(self) -> MutableMapping[str, Any]:
        """JSON values by name. Each change is written at once; of two writers the last one wins."""
        return _Metadata(self._store, self.namespace, self.name)

    def exists(self, file: str | None = None) -> bool:
        """Say whether the artifact, or that file of it, is there."""
        return self._store.exists(self.namespace, self.name, file)

    def open(self, file: str | None = None, mode: Mode = "rb") -> AbstractContextManager[IO[Any]]:
        """Open a file in a `with` block. What is written appears when the block ends well."""
        if mode in ("w", "wb"):
            if file is None:
                raise InvalidInput("name the file to write")
            return self._writing(file, text=mode == "w")
        if mode not in ("r", "rb"):
            raise InvalidInput(f"mode {mode!r} is not one of r, w, rb, wb")
        file = file or self._store.value_file(self.namespace, self.name)
        raw = self._store.open(self.namespace, self.name, file)
        return io.TextIOWrapper(raw, encoding="utf-8") if mode == "r" else raw

    def put(
        self,
        value: Any,
        *,
        file: str | None = None,
        format: str | None = None,  # noqa: A002  (the word that users of frames expect)
        metadata: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Store a value. Without a `file` it is the artifact's value and replaces the one before."""
        chosen = get_format(format) if format else format_for(value)
        target = file or f"value{chosen.suffix}"
        with self._store.writing(self.namespace, self.name, target, about=True) as handle:
            chosen.write(value, handle)
            about = About(chosen.name, _digest_of(chosen, handle), chosen.describe(value))
        self._store.note(self.namespace, self.name, target, about)
        self._remember(target if file is None else None, metadata)
        return self

    def get(self, file: str | None = None) -> Any:
        """Return the value, or that of one file; raise MissingArtifact."""
        file = file or self._store.value_file(self.namespace, self.name)
        about = self._store.about(self.namespace, self.name, file)
        chosen = get_format(about.format) if about else format_of_file(file)
        if chosen.trusted_only:
            return self._get_trusted(file)
        with self._store.open(self.namespace, self.name, file) as handle:
            return chosen.read(handle)

    def _get_trusted(self, file: str) -> Any:
        """Decode what carries the hash that was noted; what stays without it is damaged."""
        before = None
        while True:
            about = self._store.about(self.namespace, self.name, file)
            with self._store.open(self.namespace, self.name, file) as handle:
                content = io.BytesIO(handle.read())
            now = (about and about.sha256, hashlib.sha256(content.getbuffer()).hexdigest())
            if about and now[0] == now[1]:
                return get_format(about.format).read(content)
            if now == before:
                break
            # Somebody may just be replacing it: the note follows the file at once.
            before = now
            time.sleep(_NOTE_FOLLOWS_S)
        raise DamagedValue(
            f"{file!r} of artifact {self.name!r} is not what was stored, so it is not unpickled",
            fix="read its bytes with open(), or store it again with put()",
        )

    def delete(self, file: str | None = None) -> None:
        """Delete one file, or the artifact with all its files; raise MissingArtifact."""
        self._store.delete(self.namespace, self.name, file)

    @contextmanager
    def _writing(self, file: str, *, text: bool) -> Iterator[IO[Any]]:
        with self._store.writing(self.namespace, self.name, file) as raw:
            if not text:
                yield raw
                return
            wrapped = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
            try:
                yield wrapped
            finally:
                wrapped.detach()

    def _remember(self, value: str | None, metadata: Mapping[str, Any] | None) -> None:
        sidecar = self._store.sidecar(self.namespace, self.name)
        before = sidecar.value
        if value is not None:
            sidecar.value = value
        if metadata is not None:
            sidecar.metadata = dict(metadata)
        _sign(sidecar)
        self._store.set_sidecar(self.namespace, self.name, sidecar)
        if value is not None and before not in (None, value):
            with suppress(MissingArtifact):
                self._store.delete(self.namespace, self.name, before)


class _Metadata(MutableMapping[str, Any]):
    def __init__(self, store: ArtifactStore, namespace: str, name: str) -> None:
        self._at = (namespace, name)
        self._store = store

    def _read(self) -> dict[str, Any]:
        return self._store.metadata(*self._at)

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._store.set_metadata(*self._at, {**self._read(), key: value})

    def __delitem__(self, key: str) -> None:
        metadata = self._read()
        del metadata[key]
        self._store.set_metadata(*self._at, metadata)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return json.dumps(self._read())


# --- what stages call -------------------------------------------------------------------------------


def put(
    name: str,
    value: Any,
    format: str | None = None,  # noqa: A002  (the word that users of frames expect)
    *,
    metadata: Mapping[str, Any] | None = None,
    file: str | None = None,
    namespace: str | None = None,
) -> Artifact:
    """Store a value as an artifact, whole or not at all; what was there under the name is replaced.

    `format` is `frame` (Parquet), `array` (npy), `json`, `bytes`, `pickle` or a plugin's; without it
    the value's type decides. `metadata` are JSON values kept beside it. `file` names one of several
    files. Raise InvalidInput, InvalidName, StorageFull.
    """
    return _artifact(name, namespace).put(value, file=file, format=format, metadata=metadata)


def get(name: str, *, file: str | None = None, namespace: str | None = None) -> Any:
    """Return the value of an artifact, or of one of its files; raise MissingArtifact."""
    return _artifact(name, namespace).get(file)


def exists(name: str, *, file: str | None = None, namespace: str | None = None) -> bool:
    """Say whether an artifact, or that file of it, is there."""
    return _artifact(name, namespace).exists(file)


def delete(name: str, *, file: str | None = None, namespace: str | None = None) -> None:
    """Delete an artifact, or one of its files; raise MissingArtifact."""
    _artifact(name, namespace).delete(file)


def open(  # noqa: A001  (artifacts.open reads as it does in gzip and pathlib)
    name: str, file: str | None = None, mode: Mode = "rb", *, namespace: str | None = None
) -> AbstractContextManager[IO[Any]]:
    """Open a file of an artifact in a `with` block; `r` and `w` are UTF-8 text.

    What is written appears when the block ends well, and not at all otherwise.
    """
    return _artifact(name, namespace).open(file, mode)


def list_(namespace: str | None = None) -> list[Artifact]:
    """List the artifacts of a namespace (the run's) by name."""
    store, namespace = _place(namespace)
    return [Artifact(store, namespace, info.name) for info in store.list_(namespace)]


def get_artifact(name: str, namespace: str | None = None) -> Artifact:
    """Return an artifact that is there; raise MissingArtifact."""
    artifact = _artifact(name, namespace)
    _ = artifact.files
    return artifact


def new_artifact(
    name: str,
    namespace: str | None = None,
    files: Mapping[str, Any] | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> Artifact:
    """Make an artifact of values by file name; bytes are stored as they are.

    One that is there already is gone on with, its other files kept: a stage may run twice.
    """
    artifact = _artifact(name, namespace)
    for file, content in (files or {}).items():
        artifact.put(content, file=file)
    artifact._remember(None, metadata)  # noqa: SLF001  (its own class)
    return artifact


list_artifacts = list_


def _artifact(name: str, namespace: str | None) -> Artifact:
    store, namespace = _place(namespace)
    return Artifact(store, namespace, name)


def _place(namespace: str | None) -> tuple[ArtifactStore, str]:
    context = get_run_context()
    url = context.environment.artifacts_url
    if not url:
        raise NonRetryable(
            "this worker shares no files with the daemon, and its executor has no storage",
            fix="name one that all see: flowdapt executor add NAME KIND --option storage=s3://…",
        )
    if (store := _stores.get(url)) is None:
        store = _stores[url] = ArtifactStore(url)
    return store, namespace or context.namespace


def _sign(sidecar: Sidecar) -> None:
    """Note which run and stage wrote the artifact last."""
    if (context := find_run_context()) is not None:
        sidecar.run, sidecar.stage = context.run.uid, context.stage


def _digest_of(chosen: Format, handle: IO[bytes]) -> str:
    if not chosen.trusted_only:
        return ""
    digest = hashlib.sha256()
    handle.seek(0)
    while chunk := handle.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
