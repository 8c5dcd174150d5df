"""What a rule may tell the built-in actions: bad parameters are refused when the rule is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from flowdapt.daemon.actions import Actions
from flowdapt.domain.actions import LogLine, action_problems
from flowdapt.domain.documents import documents_of
from flowdapt.plugins.actions.webhook_parameters import WebhookParameters
from flowdapt.plugins.manager import Plugins

if TYPE_CHECKING:
    from flowdapt.domain.errors import Problem

URL = "https://hooks.example.com/in"


def problems(target: str, *allowed: str, **parameters: Any) -> list[Problem]:
    """Apply a rule with one action; return what is wrong with it."""
    action = {"target": target, "parameters": parameters}
    spec = {"type": "interval", "rule": {"every": "1h"}, "actions": [action]}
    value = {"kind": "trigger_rule", "metadata": {"name": "r"}, "spec": spec}
    (document,), _ = documents_of([value])
    models = Actions(Plugins([]), allowed=allowed, secret=lambda name: "").models()
    return list(action_problems(document, models))


def said(target: str, *allowed: str, **parameters: Any) -> str:
    (problem,) = problems(target, *allowed, **parameters)
    return f"{'.'.join(map(str, problem.loc))}: {problem.message}"


@pytest.mark.parametrize(
    "parameters",
    [
        {"url": URL},
        {"url": URL, "method": "PUT", "headers": {"X-A": "b c"}, "body": {"a": [1, "{b}"]}},
        {"url": URL, "body": None, "secret": "hook-key"},
        {"url": {"var": "data.url"}, "headers": {"X-A": {"var": "data.a"}}},
        {"url": "http://1.1.1.1:8080/"},
    ],
)
def test_a_good_webhook_is_accepted(parameters: dict[str, Any]) -> None:
    assert problems("webhook", **parameters) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:169.254.169.254]/",
        "http://169.254.169.254/latest/meta-data", "http://0xA9FEA9FE/", "http://2852039166/",
        "http://localhost/", "http://localhost./", "http://user@hooks.example.com/",
        "unix:/run/docker.sock", "file:///etc/passwd", "http://10.0.0.1/", "http://[fd00::1]/",
        "http://0.0.0.0/", "http://0177.0.0.1/", "http://[64:ff9b::7f00:1]/", "http://224.0.0.1/",
    ],
)  # fmt: skip
def test_an_address_that_is_not_open_is_refused_when_the_rule_is_applied(url: str) -> None:
    (problem,) = problems("webhook", url=url)
    assert problem.code == "action.bad_parameter"
    assert problem.loc[-2:] == ("parameters", "url")


def test_what_the_settings_open_may_be_written() -> None:
    allowed = ["127.0.0.0/8", "localhost", "fd00::/8"]
    for url in ("http://127.0.0.1:8000/", "http://localhost/", "http://[fd00::1]/"):
        assert problems("webhook", *allowed, url=url) == []
    assert "webhooks.allowed" in said("webhook", *allowed, url="http://10.0.0.1/")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"url": URL, "headers": {"X-A": "a\r\nX-B: c"}}, "one line"),
        ({"url": URL, "headers": {"X-A": "a\nb"}}, "one line"),
        ({"url": URL, "headers": {"X-A": "a\0"}}, "one line"),
        ({"url": URL, "headers": {"X-A": " a"}}, "one line"),
        ({"url": URL, "headers": {"X-A": "ä"}}, "one line"),
        ({"url": URL, "headers": {"X-A": "a" * 5000}}, "one line"),
        ({"url": URL, "headers": {"X-A\r\nX-B": "a"}}, "name of a header"),
        ({"url": URL, "headers": {"X A": "a"}}, "name of a header"),
        ({"url": URL, "headers": {"": "a"}}, "name of a header"),
        ({"url": URL, "headers": {"Host": "evil.com"}}, "set by flowdapt"),
        ({"url": URL, "headers": {"content-length": "1"}}, "set by flowdapt"),
        ({"url": URL, "headers": {"Transfer-Encoding": "chunked"}}, "set by flowdapt"),
        ({"url": URL, "headers": {"Webhook-Signature": "v1,x"}}, "set by flowdapt"),
        ({"url": URL, "headers": {"X-A": "a", "x-a": "b"}}, "twice"),
        ({"url": URL, "headers": {f"X-{n}": "a" for n in range(40)}}, "32"),
        ({"url": URL + "\r\nX-B: c"}, "percent-encoded"),
        ({"url": URL + "/{{secret}}"}, "{var: data.x}"),
        ({"url": URL, "headers": {"X-A": "Bearer {{ token }}"}}, "{var: data.x}"),
        ({"url": URL, "body": {"a": ["x {{secret}} y"]}}, "{var: data.x}"),
        ({"url": URL, "body": {"{{secret}}": 1}}, "{var: data.x}"),
        ({"url": URL, "method": "GET"}, "'POST' or 'PUT'"),
        ({"url": URL, "secret": "../key"}, "secret"),
        ({"url": URL, "hedaers": {}}, "no parameter"),
        ({}, "needs the parameter 'url'"),
    ],
)
def test_a_bad_webhook_is_refused_when_the_rule_is_applied(
    parameters: dict[str, Any], words: str
) -> None:
    assert words in said("webhook", **parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"url": "http://localhost./"},
        {"url": URL, "headers": {"X-A": "a\r\nX-B: c"}},
        {"url": URL, "headers": {"Host": "evil.com"}},
    ],
)
def test_values_of_an_event_pass_the_same_gate_later(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookParameters(**parameters)


def test_braces_in_an_event_are_no_template() -> None:
    assert WebhookParameters(url=URL, body="{{x}}", headers={"X-A": "{{x}}"}).body == "{{x}}"


def test_a_log_line_has_words_and_a_level() -> None:
    assert problems("log", message="done") == []
    assert problems("log", message={"var": "data.text"}, level="warning") == []
    assert "needs the parameter 'message'" in said("log")
    assert "level" in said("log", message="x", level="loud")


@pytest.mark.parametrize(
    ("value", "line"), [(0.25, "0.25"), ({"loss": [1]}, '{"loss": [1]}'), (None, "null")]
)
def test_a_value_of_an_event_is_logged_as_json(value: object, line: str) -> None:
    assert LogLine(message=value).message == line
    assert len(LogLine(message=["x" * 9000]).message) == 4096


def test_an_unknown_action_is_refused_with_the_near_one() -> None:
    (problem,) = problems("webhok", url=URL)
    assert (problem.code, problem.suggestion) == ("action.unknown", "webhook")
