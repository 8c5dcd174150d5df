"""`-o json` is always one valid document, whatever the command does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Program
from tests.client.fake_daemon import FakeDaemon, answer, run

if TYPE_CHECKING:
    from pathlib import Path

UID = run()["uid"]
CONFIG = {"kind": "config", "metadata": {"name": "c", "revision": 1}, "spec": {"data": {}}}
APPLIED = {"kind": "config", "name": "c", "action": "updated", "revision": 2, "diff": "+x\n"}
FILE = {"name": "f", "size_bytes": 2, "modified_at": "2026-01-01T00:00:00Z"}
TEXT = "kind: config\nmetadata: {name: c}\nspec:\n  selector: {type: name, value: w}\n  data: {}\n"


@pytest.fixture
def everything(fake: FakeDaemon) -> FakeDaemon:
    listed = [
        "/runs", "/workflows", "/configs", "/artifacts/default", "/executors", "/executors/local/workers",
        "/plugins", "/secrets", "/events", f"/runs/{UID}/metrics", "/runs/r/metrics", "/runs/r/explain",
    ]  # fmt: skip
    for path in listed:
        fake.on("GET", path, answer({"items": [], "next": None}))
    for ident in ("r", UID):
        fake.on("GET", f"/runs/{ident}", answer(run()))
        fake.on("DELETE", f"/runs/{ident}", [b"HTTP/1.1 204 No Content\r\n\r\n"])
        fake.on(
            "GET",
            f"/runs/{ident}/logs",
            answer({"items": [{"text": "a"}], "next_after": 1}),
            answer({"items": [], "next_after": 1}),
        )
        fake.on("GET", f"/runs/{ident}/result", answer({"a": 1}))
    for verb in ("cancel", "retry"):
        fake.on("POST", f"/runs/r/{verb}", answer(run()))
    fake.on("POST", "/workflows/w/runs", answer(run()))
    fake.on("GET", "/configs/c", answer(CONFIG))
    fake.on("DELETE", "/configs/c", answer(APPLIED))
    fake.on("POST", "/apply", answer({"items": [APPLIED]}))
    fake.on(
        "GET",
        "/artifacts/default/a",
        answer({"namespace": "default", "name": "a", "files": [FILE], "metadata": {}}),
    )
    fake.on("GET", "/artifacts/default/a/f", [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"])
    fake.on("GET", "/artifacts/default/a/f/preview", answer({"file": "f"}))
    fake.on("PUT", "/artifacts/default/a/f", answer(FILE, 201))
    fake.on("DELETE", "/artifacts/default/a", [b"HTTP/1.1 204 No Content\r\n\r\n"])
    fake.on("PUT", "/secrets/K", answer({"name": "K", "place": "file"}))
    fake.on("DELETE", "/secrets/K", [b"HTTP/1.1 204 No Content\r\n\r\n"])
    fake.on("GET", "/status", answer({"version": "1", "pid": 7, "executor": {"name": "local"}}))
    fake.on("GET", "/metrics", [b"HTTP/1.1 200 OK\r\n\r\nup 1\n"])
    fake.on("GET", "/readyz", [b"HTTP/1.1 204 No Content\r\n\r\n"])
    fake.on("GET", "/check", answer({"problems": []}))
    fake.on("POST", "/gc", answer({"runs": 0, "orphans": 0}))
    fake.on("POST", "/backup", answer({"path": "p", "size_bytes": 1}))
    executor = {"name": "e", "kind": "dask", "state": "closed"}
    row = {"what": "a", "level": "warning", "words": "w", "code": "c.c", "fix": "f"}
    fake.on("POST", "/executors", answer(executor, 201))
    fake.on("DELETE", "/executors/e", [b"HTTP/1.1 204 No Content\r\n\r\n"])
    checked = {"name": "e", "passed": True, "findings": [row], "took_s": 0.1}
    fake.on("POST", "/executors/e/check", answer(checked))
    moved = {"switched": True, "active": "e", "previous": "local", "pinned": {}, "findings": [row]}
    fake.on("PUT", "/active-executor", answer(moved))
    rule = {"name": "t", "revision": 1, "type": "interval", "state": "armed"}
    fire = {"number": 1, "rule": "t", "generation": 1, "kind": "manual", "state": "started",
            "fired_at": "2026-01-01T00:00:00Z"}  # fmt: skip
    outlook = {"words": "every hour", "per_day": 24, "timezone": "UTC", "next": []}
    clause = {"text": "a", "held": True, "reason": None, "children": []}
    fake.on("GET", "/trigger-status", answer({"items": [rule], "next": None}))
    fake.on("GET", "/triggers/t/next", answer(outlook))
    fake.on("GET", "/triggers/t/status", answer(rule))
    fake.on("GET", "/triggers/t/fires", answer({"items": [fire], "next": None}))
    fake.on("POST", "/triggers/t/fire", answer(fire, 202))
    for verb in ("pause", "resume"):
        fake.on("POST", f"/triggers/t/{verb}", answer(rule))
    fake.on(
        "POST",
        "/triggers/t/test",
        answer({"rule": "t", "type": "condition", "holds": True, "fires": True, "clause": clause}),
    )
    fake.on("POST", "/events", answer({"cursor": 1, "id": "e", "type": "x"}, 201))
    fake.on("GET", "/openapi.json", answer({"openapi": "3.1.0"}))
    return fake


COMMANDS = [
    "run w", "run w --result-only", "runs ls", "runs show r", "runs metrics r", "runs cancel r", "runs cancel r r",
    "runs retry r", "runs wait r", "runs wait r r", "runs result r", "runs why r", "runs compare r r", "runs rm r",
    "logs r", "logs r --all", "logs r --grep a", "apply -f -", "apply -f - --diff", "apply -f - --prune -l a=b --yes",
    "diff -f -", "validate -f -", "explain workflow", "get runs", "get run r", "get workflows", "get config c",
    "get configs", "get artifacts", "get artifact a", "get plugins", "get secrets", "get executors",
    "describe config c", "describe run r", "describe artifact a", "rollback config c --to 1", "delete config c",
    "delete run r", "delete artifact a", "delete -f -", "artifact ls", "artifact get a -O OUT", "artifact put a - --as f",
    "artifact rm a", "artifact preview a", "secret set K", "secret ls", "secret rm K", "up", "status", "top", "events",
    "metrics", "executor ls", "executor workers", "executor add e dask",
    "executor check e", "executor rm e --yes", "use e", "use -", "plugin ls", "plugin check", "db backup", "db restore", "db gc",
    "trigger ls", "trigger next t", "trigger history t", "trigger fire t", "trigger pause t",
    "trigger resume t", "trigger test t", "post x",
    "doctor", "bundle OUT", "init DIR", "version", "openapi", "api GET status", "service install --no-start",
]  # fmt: skip


@pytest.mark.parametrize("form", ["json", "jsonl", "yaml", "name"])
@pytest.mark.parametrize("words", COMMANDS)
def test_the_output_is_what_was_asked_for(
    flowdapt: Program,
    everything: FakeDaemon,
    words: str,
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    places = {"OUT": str(tmp_path / "out"), "DIR": str(tmp_path / "dir")}
    ended = flowdapt(*(places.get(word, word) for word in words.split()), "-o", form, stdin=TEXT)
    assert ended.code in (0, 1), ended.err
    assert not ended.err.startswith("✖"), ended.err
    _read(form, ended.out)


def _read(form: str, text: str) -> Any:
    if form == "json":
        return json.loads(text)
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if form == "yaml":
        from ruamel.yaml import YAML

        return YAML(typ="safe").load(text)
    return text.splitlines()


@pytest.mark.parametrize("words", ["logs r -f", "events -f", "get runs -w"])
def test_what_has_no_end_is_not_promised_as_one_document(
    flowdapt: Program, everything: FakeDaemon, words: str
) -> None:
    ended = flowdapt(*words.split(), "-o", "json")
    assert (ended.code, ended.out) == (2, "")
    assert "jsonl" in ended.err
