"""Tell another system over HTTP, signed, and decide from its answer whether to try again.

Words and signature are those of Standard Webhooks, so that receivers can use its libraries. How the
request travels and where it may go is `outgoing`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

import trio
from pydantic import BaseModel

from flowdapt.domain.display import escape_controls
from flowdapt.domain.errors import FlowdaptError
from flowdapt.domain.events import TRIGGER_FIRED
from flowdapt.plugins.actions.outgoing import Answer, NoAnswer, NotAllowed, Request, Sender
from flowdapt.plugins.actions.webhook_parameters import WebhookParameters
from flowdapt.ports.action import Action, ActionFailed, Occasion
from flowdapt.runtime.masking import NOTHING, Masker, StreamMasker

__all__ = ["Webhook", "envelope", "signature"]

# A receiver that says so is asked again; so is one that is broken.
_AGAIN = frozenset({408, 425, 429})
_GOOD, _REDIRECT, _BROKEN = range(200, 300), range(300, 400), range(500, 600)
_KEY_PREFIX = "whsec_"
_EXCERPT_CHARS = 200


class Webhook(Action):
    """Sends requests. `secret` returns a secret's value and may block; `now` is UTC seconds."""

    name: ClassVar[str] = "webhook"
    parameters: ClassVar[type[BaseModel]] = WebhookParameters

    def __init__(
        self,
        sender: Sender,
        *,
        secret: Callable[[str], str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sender = sender
        self._secret = secret
        self._now = now

    async def perform(self, parameters: BaseModel, occasion: Occasion) -> None:
        """Send it. Any 2xx is success; 408, 425, 429, 5xx and no answer are worth another try."""
        assert isinstance(parameters, WebhookParameters)
        value = None if parameters.secret is None else await self._value_of(parameters.secret)
        masker = NOTHING if value is None else Masker([value])
        try:
            answer = await self._sender.send(self._request(parameters, occasion, value))
        except NotAllowed as error:
            raise ActionFailed(str(error), again=False) from None
        except NoAnswer as error:
            raise ActionFailed(masker.text(str(error))) from None
        self._judge(parameters.target.host, answer, masker)

    async def _value_of(self, secret: str) -> str:
        try:
            return await trio.to_thread.run_sync(self._secret, secret)
        except FlowdaptError as error:
            raise ActionFailed(
                f"{error.message}; {error.fix}" if error.fix else error.message
            ) from None

    def _request(
        self, parameters: WebhookParameters, occasion: Occasion, secret: str | None
    ) -> Request:
        told = "body" in parameters.model_fields_set
        body = json.dumps(parameters.body if told else envelope(occasion)).encode()
        at = int(self._now())
        headers = {
            "content-type": "application/json" if told else "application/cloudevents+json",
            "user-agent": _user_agent(),
            **{name.lower(): value for name, value in parameters.headers.items()},
            "webhook-id": occasion.delivery,
            "webhook-timestamp": str(at),
        }
        if secret is not None:
            headers["webhook-signature"] = signature(secret, occasion.delivery, at, body)
        return Request(parameters.method, parameters.target, list(headers.items()), body)

    def _judge(self, host: str, answer: Answer, masker: Masker) -> None:
        status = answer.status
        if status in _GOOD:
            return
        if status in _REDIRECT:
            message = f"{host} answered {status}: redirects are not followed"
            raise ActionFailed(message, again=False)
        # The end of what was read may be the beginning of the secret: it is held back.
        shown = StreamMasker(masker).feed(answer.excerpt).decode("utf-8", "replace")
        text = shown[:_EXCERPT_CHARS].strip()
        message = f"{host} answered {status}" + (f": {escape_controls(text)}" if text else "")
        again = status in _AGAIN or status in _BROKEN
        raise ActionFailed(message, again=again, after_s=self._asked_pause_s(answer.retry_after))

    def _asked_pause_s(self, retry_after: str) -> float:
        """Return the seconds that a Retry-After asks for: a number, or the date of an HTTP header."""
        text = retry_after.strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.fromtimestamp(self._now(), UTC)).total_seconds())


def envelope(occasion: Occasion) -> Mapping[str, Any]:
    """Return what happened as a CloudEvent; a repeated delivery has the same `id`."""
    at = occasion.scheduled_at
    return {
        "specversion": "1.0",
        "id": occasion.delivery,
        "source": "flowdapt",
        "type": TRIGGER_FIRED,
        "subject": f"trigger/{occasion.rule}",
        "time": occasion.fired_at.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "rule": occasion.rule,
            "kind": occasion.kind,
            "fire": occasion.fire,
            "scheduled_at": None if at is None else at.isoformat(),
            "event": occasion.event,
        },
    }


def signature(secret: str, delivery: str, timestamp: int, body: bytes) -> str:
    """Return `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    text = f"{delivery}.{timestamp}.".encode() + body
    digest = hmac.digest(_key(secret), text, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    """Return the key: base64 behind `whsec_`, as the standard's libraries make them, else the text."""
    if secret.startswith(_KEY_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_KEY_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode("utf-8", "surrogateescape")


def _user_agent() -> str:
    from flowdapt import __version__

    return f"flowdapt/{__version__}"
