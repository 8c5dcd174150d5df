"""Decide which events others may add to the journal: CloudEvents 1.0 in JSON, small, of a type of their own."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from flowdapt.domain.errors import InvalidInput, TooLarge
from flowdapt.domain.events import EventDraft
from flowdapt.domain.json_reading import read_json
from flowdapt.domain.positions import TextProblem

__all__ = ["DATA_MAX_BYTES", "RESERVED_TYPES", "CustomEvent", "PostedEvent", "read_custom_event"]

DATA_MAX_BYTES = 64 * 1024
# The attributes around the data are short.
_EVENT_MAX_BYTES = DATA_MAX_BYTES + 8 * 1024
# What flowdapt itself tells: nobody else may claim that a run has finished.
RESERVED_TYPES = tuple(
    f"com.event.{family}." for family in ("workflow", "resource", "trigger", "executor", "system")
)
_Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")]
_Text = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class CustomEvent(BaseModel):
    """An event as other systems write it. Attributes that are not listed are passed over.

    `id` is what repeats are known by: unique among all senders, so a UUID is best.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    specversion: Literal["1.0"]
    id: _Word
    source: _Word
    type: Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
    subject: _Text = ""
    datacontenttype: Literal["application/json"] = "application/json"
    correlationid: _Word | None = None
    causationdepth: Annotated[int, Field(ge=0, le=1000)] = 0
    data: Any = None

    @model_validator(mode="before")
    @classmethod
    def _in_json(cls, value: Any) -> Any:
        # Passed over as an attribute that is not known, what it holds would be lost unseen.
        if isinstance(value, dict) and "data_base64" in value:
            raise ValueError("data is read as JSON in `data`, not as bytes in `data_base64`")
        return value

    @field_validator("type")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value.startswith(RESERVED_TYPES):
            raise ValueError("flowdapt alone tells events of this type")
        return value

    def draft(self) -> EventDraft:
        """Return the event as the store takes it. Raise TooLarge for more data than an event holds."""
        data = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))
        if len(data.encode()) > DATA_MAX_BYTES:
            raise _too_large()
        return EventDraft(
            self.type,
            self.subject,
            data,
            source=self.source,
            correlation_id=self.correlationid,
            causation_depth=self.causationdepth,
            id=self.id,
        )


class PostedEvent(CustomEvent):
    """An event as a client of ours sends it: what CloudEvents requires may be left to us."""

    specversion: Literal["1.0"] = "1.0"
    id: _Word = Field(default_factory=lambda: secrets.token_hex(16))
    source: _Word = "client"


def read_custom_event(raw: bytes) -> EventDraft:
    """Read an event from bytes that anybody may have sent. Raise InvalidInput or TooLarge."""
    if len(raw) > _EVENT_MAX_BYTES:
        raise _too_large()
    try:
        value = read_json(raw.decode("utf-8"))
        return CustomEvent.model_validate(value).draft()
    except UnicodeDecodeError:
        raise InvalidInput("the event is not UTF-8", code="event.invalid") from None
    except TextProblem as problem:
        raise InvalidInput(str(problem), code="event.invalid") from None
    except ValidationError as error:
        raise InvalidInput(_words(error), code="event.invalid") from None


def _too_large() -> TooLarge:
    return TooLarge(
        "the data of the event is over 64 KiB",
        code="event.too_large",
        fix="store it as an artifact, and send its name",
    )


def _words(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'event'}: {one['msg']}" for one in found)
