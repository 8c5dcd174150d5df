"""Decide what a resource is: a named, revisioned document of a kind, with metadata the server owns."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flowdapt.domain.names import Name

__all__ = [
    "KINDS",
    "Applied",
    "Kind",
    "Metadata",
    "Outlook",
    "Resource",
    "canonical",
    "digest_of",
    "kind_named",
]

Kind = Literal["workflow", "config", "trigger_rule"]
# plural -> kind, as the REST paths and `get KIND` spell them
KINDS: dict[str, Kind] = {"workflows": "workflow", "configs": "config", "triggers": "trigger_rule"}


_WRITTEN_KINDS: dict[str, Kind] = {
    **{kind.replace("_", ""): kind for kind in KINDS.values()},
    **KINDS,
    "trigger": "trigger_rule",
    "triggerrules": "trigger_rule",
}


def kind_named(word: str) -> Kind | None:
    """Return the kind that a word means: singular or plural, in any case, with `-`, `_` or neither."""
    return _WRITTEN_KINDS.get(word.lower().replace("_", "").replace("-", ""))


class Metadata(BaseModel):
    """Name and annotations are the user's; the rest is the server's and a precondition when sent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="Unique among the documents of the kind.")
    annotations: dict[str, Any] = Field(
        default_factory=dict, description="Free keys; configs and `-l` select by them."
    )
    uid: str | None = Field(default=None, description="The server's; a precondition when sent.")
    revision: int | None = Field(
        default=None, description="The server's; a precondition when sent."
    )
    created_at: datetime | None = Field(
        default=None, description="The server's; a precondition when sent."
    )
    updated_at: datetime | None = Field(
        default=None, description="The server's; a precondition when sent."
    )


class Resource(BaseModel):
    """A stored resource. `spec` is the canonical JSON value of the kind's spec model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    metadata: Metadata
    spec: dict[str, Any]


class Outlook(BaseModel):
    """What to expect of a rule of time: in words, how often a day, the next instants (aware UTC)."""

    model_config = ConfigDict(frozen=True)

    words: str
    per_day: float
    timezone: str
    next: tuple[datetime, ...]


class Applied(BaseModel):
    """What applying one document did, or would do."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    name: str
    action: Literal["created", "updated", "unchanged", "deleted"]
    revision: int
    diff: str = ""
    warnings: tuple[str, ...] = ()
    outlook: Outlook | None = None


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, NaN refused (ValueError)."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def digest_of(text: str) -> str:
    """Return the hex SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
