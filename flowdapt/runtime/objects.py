"""Offer the object store to stage code: values shared by key, in cluster memory first, in an artifact second.

`flowdapt.objects`. A key holds one value, wherever it lies: a put replaces it everywhere and a delete
deletes it everywhere, so that no old value ever comes back.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from flowdapt.domain.errors import (
    InvalidInput,
    MissingArtifact,
    MissingObject,
    StorageFull,
)
from flowdapt.domain.segment import check_name
from flowdapt.runtime import artifacts
from flowdapt.runtime.context import get_run_context
from flowdapt.runtime.memory import memory_of, segment_of

if TYPE_CHECKING:
    from flowdapt.runtime.memory import ClusterMemory

__all__ = ["Strategy", "delete", "exists", "get", "put"]

Strategy = Literal["fallback", "artifact", "cluster_memory"]

# Objects that lie in artifacts are told from the user's own artifacts by this beginning.
ARTIFACT_PREFIX = "object."
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM})


class _Required:
    def __repr__(self) -> str:
        return "<required>"


_REQUIRED: Final = _Required()


def put(
    key: str, value: Any, *, namespace: str | None = None, strategy: Strategy = "fallback"
) -> None:
    """Share a value under a key with all stages of the namespace (the run's).

    `fallback` puts it into cluster memory, or into an artifact when memory has no room; `artifact`
    makes it survive a restart of the machine; `cluster_memory` never touches the disk. Raise
    InvalidName, StorageFull, UnstorableResult.
    """
    places = _Places(key, namespace, strategy)
    with places.memory.locked(places.namespace, key):
        if strategy == "artifact" or not places.remember(value, must=strategy == "cluster_memory"):
            artifacts.put(places.artifact, value, namespace=places.namespace)
            places.forget()
        else:
            places.discard()


def get(
    key: str,
    default: Any = _REQUIRED,
    *,
    namespace: str | None = None,
    strategy: Strategy = "fallback",
) -> Any:
    """Return the value of a key, or `default` where one is given; else raise MissingObject.

    `artifact` and `cluster_memory` look in one place only.
    """
    places = _Places(key, namespace, strategy)
    if strategy != "artifact":
        with suppress(KeyError):
            return places.memory.get(places.namespace, key)
    if strategy == "artifact" or (strategy == "fallback" and places.has_artifacts):
        with suppress(MissingArtifact):
            return artifacts.get(places.artifact, namespace=places.namespace)
    if default is not _REQUIRED:
        return default
    raise _missing(key, places.namespace)


def exists(key: str, *, namespace: str | None = None, strategy: Strategy = "fallback") -> bool:
    """Say whether a key has a value."""
    places = _Places(key, namespace, strategy)
    if strategy != "artifact" and places.memory.exists(places.namespace, key):
        return True
    if strategy == "cluster_memory" or (strategy == "fallback" and not places.has_artifacts):
        return False
    return artifacts.exists(places.artifact, namespace=places.namespace)


def delete(key: str, *, namespace: str | None = None, strategy: Strategy = "fallback") -> None:
    """Delete a key's value; raise MissingObject when there was none.

    `artifact` and `cluster_memory` delete in one place only, `fallback` in both.
    """
    places = _Places(key, namespace, strategy)
    with places.memory.locked(places.namespace, key):
        in_memory = strategy != "artifact" and places.forget()
        in_artifact = strategy != "cluster_memory" and places.discard()
    if not (in_memory or in_artifact):
        raise _missing(key, places.namespace)


class _Places:
    """Where the value of one key may lie."""

    def __init__(self, key: str, namespace: str | None, strategy: str) -> None:
        if strategy not in ("fallback", "artifact", "cluster_memory"):
            raise InvalidInput(
                f"unknown strategy {strategy!r}", fix="use fallback, artifact or cluster_memory"
            )
        context = get_run_context()
        self.key = key
        self.artifact = ARTIFACT_PREFIX + segment_of(key)
        self.namespace = check_name(namespace or context.namespace, "namespace")
        # Workers without a storage that all see have memory alone.
        self.has_artifacts = bool(context.environment.artifacts_url)
        self.memory: ClusterMemory = memory_of(context.environment)

    def remember(self, value: Any, *, must: bool) -> bool:
        """Put the value into memory; say whether there was room."""
        try:
            self.memory.put(self.namespace, self.key, value)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            if must:
                raise StorageFull(
                    f"cluster memory has no room for {self.key!r}",
                    fix='delete objects, or use strategy="fallback"',
                ) from error
            return False
        return True

    def forget(self) -> bool:
        return self.memory.delete(self.namespace, self.key)

    def discard(self) -> bool:
        if not self.has_artifacts:
            return False
        try:
            artifacts.delete(self.artifact, namespace=self.namespace)
        except MissingArtifact:
            return False
        return True


def _missing(key: str, namespace: str) -> MissingObject:
    return MissingObject(
        f"there is no object {key!r} in namespace {namespace!r}",
        fix="put it in an earlier stage, or pass a default",
    )
