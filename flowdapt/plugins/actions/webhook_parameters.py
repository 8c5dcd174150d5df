"""Decide what a rule may write below `parameters` of a webhook, and what is refused before it is sent.

`WebhookParameters` holds whatever the values come from; `parameters_for` adds what only a document can be
blamed for: hosts that are not open to webhooks, and templates of other programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from flowdapt.domain.names import Name
from flowdapt.domain.outbound import Allowed, WebTarget, read_url

__all__ = ["WebhookParameters", "parameters_for"]

_REFUSED = "webhook"
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
# Visible ASCII, with spaces inside: nothing that could end a line.
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?|")
# What is ours to say, or would change how the message is read.
_OWN_HEADERS = frozenset({
    "connection", "content-encoding", "content-length", "expect", "host", "keep-alive",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    "webhook-id", "webhook-signature", "webhook-timestamp",
})  # fmt: skip


class WebhookParameters(BaseModel):
    """Send an HTTP request: by default what happened, as a CloudEvent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="Where to: https:// or http://, on the public internet.")
    method: Literal["POST", "PUT"] = Field(default="POST", description="The HTTP method.")
    headers: dict[str, str] = Field(
        default_factory=dict, max_length=32, description="Headers of your own."
    )
    body: Any = Field(default=None, description="JSON to send; default: the occasion.")
    secret: Name | None = Field(
        default=None, description="Name of the flowdapt secret that signs the request."
    )

    @property
    def target(self) -> WebTarget:
        """Return the URL's parts."""
        return read_url(self.url)

    @field_validator("url")
    @classmethod
    def _can_be_read(cls, url: str) -> str:
        if _TEMPLATE.search(url):
            raise _template()
        try:
            read_url(url)
        except ValueError as error:
            raise _refused(str(error)) from None
        return url

    @field_validator("headers")
    @classmethod
    def _are_harmless(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                raise _refused(f"{name[:60]!r} cannot be the name of a header")
            if name.lower() in _OWN_HEADERS:
                raise _refused(f"the header {name} is set by flowdapt")
            if not _HEADER_VALUE.fullmatch(value):
                raise _refused(
                    f"the value of {name} is one line of at most 4096 ASCII characters, without "
                    "spaces at its ends"
                )
        if len({name.lower() for name in headers}) < len(headers):
            raise _refused("a header stands twice")
        return headers


def parameters_for(allowed: Allowed) -> type[WebhookParameters]:
    """Return the model against which a rule is checked when it is applied."""

    class Checked(WebhookParameters):
        """Say no to what is known to fail."""

        @field_validator("url")
        @classmethod
        def _is_open(cls, url: str) -> str:
            if refusal := allowed.early_refusal(read_url(url)):
                raise _refused(refusal)
            return url

        @field_validator("headers", "body")
        @classmethod
        def _has_no_template(cls, value: Any) -> Any:
            if any(map(_TEMPLATE.search, _texts(value))):
                raise _template()
            return value

    return Checked


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts(key)
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _template() -> PydanticCustomError:
    return _refused("{{…}} is not filled in here: write {var: data.x} for a value of the event")


def _refused(message: str) -> PydanticCustomError:
    # The message goes in as a value: its own braces are no places to be filled.
    return PydanticCustomError(_REFUSED, "{message}", {"message": message})
