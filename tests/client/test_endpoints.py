"""What the client sends is what the contract (OpenAPI) takes: paths, methods, parameters, bodies."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flowdapt.api.app import openapi_document
from flowdapt.client.endpoints import artifacts, executors, resources, runs, system, triggers

CALLS = [
    runs.submit("w", {"input": {}}, key="k", wait_s=3),
    runs.list_(
        state=["failed"], workflow="w", namespace="n", since="2026-01-01T00:00:00Z",
        until="2026-01-01T00:00:00Z", q="x", label=["a=b"], parent="p", trigger="t",
        sort="-created", cursor="c", limit=3,
    ),
    runs.get("r"),
    runs.wait("r", timeout_s=3),
    runs.watch("r"),
    runs.cancel("r"),
    runs.retry("r", {}, key="k"),
    runs.result("r"),
    runs.explain("r"),
    runs.items("r", "s", state="failed", cursor="c", limit=3),
    runs.logs("r", stage="s", level="info", grep="g", context=2, index=1, after=3, tail=True, limit=4),
    runs.tail("r", stage="s", level="info", grep="g", index=1),
    runs.metrics("r", stage="s", name="n"),
    runs.delete("r"),
    resources.apply("kind: workflow", dry_run=True),
    resources.apply([{}]),
    resources.list_("workflow", annotation=["a=b"], q="x", cursor="c", limit=3),
    resources.get("config", "n", revision=3),
    resources.revisions("trigger_rule", "n", cursor="c", limit=3),
    resources.delete("workflow", "n", if_revision=3),
    triggers.list_(q="x", cursor="c", limit=3),
    triggers.status("t"),
    triggers.next_("t", count=3),
    triggers.fires("t", state=["failed"], cursor="c", limit=3),
    triggers.fire("t", event={"type": "x"}),
    triggers.pause("t", reason="r"),
    triggers.resume("t"),
    triggers.try_("t", event=3),
    artifacts.list_("n", q="x"),
    artifacts.files("a"),
    artifacts.get("a", "f"),
    artifacts.put("a", "f", b"x"),
    artifacts.delete("a", "f"),
    artifacts.delete("a"),
    artifacts.preview("a", "f"),
    system.status(),
    system.ready(),
    system.metrics(),
    system.plugins(),
    executors.list_(),
    executors.get("e"),
    executors.add("e", "dask", {"address": "tls://h:1"}),
    executors.remove("e"),
    executors.workers("e"),
    executors.check("e"),
    executors.switch("e", insecure=True, keep_going=True),
    system.list_secrets(),
    system.put_secret("S", "v"),
    system.delete_secret("S"),
    system.events(
        after=1, run="r", workflow="w", types=["t.*"], subject="s", since="2026-01-01T00:00:00Z",
        tail=True, limit=3,
    ),
    system.watch_events(after=1, types=["t"], run="r", workflow="w", subject="s"),
    system.post_event("t", {"n": 1}, id_="i", source="s", subject="x", correlation_id="c"),
    system.drain(now=True),
    system.undrain(),
    system.backup(),
    system.gc(dry_run=True),
    system.check(),
]  # fmt: skip


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return openapi_document()


@pytest.mark.parametrize(
    "call", CALLS, ids=lambda call: f"{call.request.method} {call.request.path}"
)
def test_the_contract_knows_the_call(call: Any, contract: dict[str, Any]) -> None:
    request = call.request
    operation = _operation(contract, request.method, request.path)
    taken = {(one["in"], one["name"].lower()) for one in operation.get("parameters", ())}
    for name, _ in request.query:
        assert ("query", name) in taken
    for name, value in request.headers:
        if name == "content-type":
            assert value in operation["requestBody"]["content"]
        elif name == "accept":
            assert value in operation["responses"]["200"]["content"]
        else:
            assert ("header", name) in taken


def test_every_endpoint_is_looked_at() -> None:
    made = {
        f"{module.__name__}.{name}"
        for module in (runs, resources, artifacts, executors, system)
        for name in module.__all__
        if name.islower()
    }
    assert (
        len(made) <= len(CALLS) + 1
    )  # the contract itself (`system.openapi`) is not in the contract


def _operation(contract: dict[str, Any], method: str, path: str) -> Any:
    for template, operations in contract["paths"].items():
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in operations:
            return operations[method.lower()]
    raise AssertionError(f"the contract has no {method} {path}")
