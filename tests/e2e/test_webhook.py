"""A rule of a real daemon tells another system that it fired."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.daemons import Daemon
from tests.waiting import eventually

KEY = "correct horse battery"


@dataclass
class Hook:
    url: str = ""
    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Serve HTTP on the loopback: what is sent is kept; `statuses` are answered in order, then 204."""
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(made.statuses.pop(0) if made.statuses else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}/in"
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def daemon(flowdapt_home: Path) -> Iterator[Daemon]:
    environ = {"FLOWDAPT_WEBHOOKS__ALLOWED": '["127.0.0.0/8"]', "FLOWDAPT_SECRET_HOOK": KEY}
    made = Daemon(flowdapt_home / "h", environ)
    yield made.start()
    made.kill()


def rule(*actions: dict[str, Any]) -> list[dict[str, Any]]:
    spec = {"type": "interval", "rule": {"every": "12h"}, "actions": list(actions)}
    return [{"kind": "trigger_rule", "metadata": {"name": "tell"}, "spec": spec}]


def webhook(url: str, **parameters: Any) -> dict[str, Any]:
    return {"target": "webhook", "parameters": {"url": url, **parameters}}


def test_a_fire_is_told_signed_and_again_after_a_failure(daemon: Daemon, hook: Hook) -> None:
    hook.statuses = [503]
    body = {"rule": {"var": "data.rule"}}
    line = {"target": "log", "parameters": {"message": "it \x1b[2J fired"}}
    daemon.json("POST", "/api/v1/apply", rule(webhook(hook.url, secret="hook", body=body), line))
    daemon.json("POST", "/api/v1/triggers/tell/fire", {})
    eventually(lambda: len(hook.requests) == 2, timeout_s=15, what=daemon.said())
    (first, sent), (second, again) = hook.requests
    assert json.loads(sent) == json.loads(again) == {"rule": "tell"}
    assert first["webhook-id"] == second["webhook-id"]
    signed = f"{second['webhook-id']}.{second['webhook-timestamp']}.".encode() + again
    expected = base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
    assert second["webhook-signature"] == f"v1,{expected}"
    eventually(lambda: "fired" in daemon.said())
    assert "\x1b" not in daemon.said()
    assert KEY not in daemon.said()


def test_what_is_given_up_is_an_event(daemon: Daemon, hook: Hook) -> None:
    hook.statuses = [410]
    daemon.json("POST", "/api/v1/apply", rule(webhook(hook.url)))
    daemon.json("POST", "/api/v1/triggers/tell/fire", {})
    path = "/api/v1/events?type=com.event.trigger.delivery_failed"
    (event,) = eventually(lambda: daemon.json("GET", path)["items"], timeout_s=15)
    assert event["subject"] == "trigger/tell"
    assert event["data"]["error"] == "127.0.0.1 answered 410"
    assert event["data"]["tries"] == 1
    assert len(hook.requests) == 1


BAD = [
    webhook("http://169.254.169.254/latest/meta-data"),
    webhook("http://2852039166/"),
    webhook("http://hooks.example.com/", headers={"X-A": "a\r\nX-B: c"}),
    webhook("http://hooks.example.com/", headers={"X-A": "{{secret}}"}),
    {"target": "os.system", "parameters": {"command": "true"}},
]


def test_what_is_known_to_be_bad_is_refused_and_not_stored(daemon: Daemon) -> None:
    for bad in BAD:
        answer = daemon.ask("POST", "/api/v1/apply", rule(bad))
        assert answer.status == 422, (bad, answer.body)
        (problem,) = json.loads(answer.body)["errors"]
        assert problem["code"] in ("action.bad_parameter", "action.unknown")
    assert daemon.ask("GET", "/api/v1/triggers/tell").status == 404
