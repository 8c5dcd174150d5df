"""The actions of one daemon: made when they are first asked for, and told what they need."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from flowdapt.daemon.actions import Actions
from flowdapt.domain.actions import BUILT_IN
from flowdapt.domain.errors import InvalidInput
from flowdapt.plugins.actions.log import LogAction
from flowdapt.plugins.actions.webhook import Webhook
from flowdapt.plugins.actions.webhook_parameters import WebhookParameters
from flowdapt.plugins.manager import Plugins
from flowdapt.ports.action import ActionFailed, Occasion
from tests.plugins.actions.receiver import receiving

OCCASION = Occasion("r", "manual", datetime(2026, 3, 1, tzinfo=UTC), delivery="d")


def actions(*allowed: str) -> Actions:
    return Actions(Plugins([]), allowed=allowed, secret=lambda name: f"value of {name}")


def test_an_action_is_made_once() -> None:
    made = actions()
    assert isinstance(made.get("log"), LogAction)
    assert isinstance(made.get("webhook"), Webhook)
    assert made.get("webhook") is made.get("webhook")


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'fax'"):
        actions().get("fax")


def test_every_action_that_a_rule_may_have_has_a_model() -> None:
    assert set(actions().models()) == {*BUILT_IN, "log", "webhook"}


@pytest.mark.trio
async def test_the_webhook_knows_the_settings_and_the_secrets() -> None:
    async with receiving() as receiver:
        parameters = WebhookParameters(url=receiver.url(), secret="key")
        await actions("127.0.0.0/8").get("webhook").perform(parameters, OCCASION)
        with pytest.raises(ActionFailed, match=r"webhooks\.allowed"):
            await actions().get("webhook").perform(parameters, OCCASION)
    (request,) = receiver.requests
    assert request.headers["webhook-signature"].startswith("v1,")


def test_nothing_is_imported_before_somebody_looks() -> None:
    code = """
import sys
from flowdapt.daemon.actions import Actions
from flowdapt.plugins.manager import Plugins
models = Actions(Plugins([]), allowed=(), secret=str).models()
print([m for m in sys.modules if m.startswith("flowdapt.plugins.actions.")])
print(sorted(models))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "[]"
    assert "webhook" in second
