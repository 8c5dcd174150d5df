"""What people mistype about executors, against a real daemon with the kinds that are installed."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.daemons import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = "/api/v1/executors"
ACTIVE = "/api/v1/active-executor"
REMOTE = "10.255.255.1"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    folder = Path(tempfile.mkdtemp(prefix="fd-"))
    one = Daemon(folder / "h")
    try:
        yield one.start()
    finally:
        one.kill()
        shutil.rmtree(folder, ignore_errors=True)


def asked(daemon: Daemon, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    answer = daemon.ask(method, path, body)
    return answer.status, json.loads(answer.body) if answer.body else {}


def named(daemon: Daemon) -> list[str]:
    return [one["name"] for one in daemon.json("GET", ROOT)["items"]]


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"kind": "dsk"}, 422, "plugin.unknown_kind", "did you mean 'dask'?"),
        ({"kind": "slurm"}, 422, "plugin.unknown_kind", "use one of"),
        ({"kind": "local"}, 422, "executor.no_profiles", "flowdapt executor ls"),
        ({"name": "ray", "kind": "ray"}, 409, "executor.exists", "choose another name"),
        ({"options": {"maximum": "many"}}, 422, "executor.invalid_options", "valid integer"),
        ({"options": {"minimum": 4, "maximum": 2}}, 422, "executor.invalid_options", "is below"),
        ({"options": {"address": "tls://h:1"}}, 422, "executor.invalid_options", "tls_ca"),
        (
            {"kind": "ray", "options": {"object_store": "1 KiB"}},
            422,
            "executor.invalid_options",
            "",
        ),
    ],
)
def test_a_wrong_profile_is_refused_in_words_that_help(
    daemon: Daemon, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    before = named(daemon)
    found = asked(daemon, "POST", ROOT, {"name": "lab", "kind": "dask"} | body)
    assert (found[0], found[1]["code"]) == (status, code)
    assert words in json.dumps(found[1], ensure_ascii=False)
    assert named(daemon) == before


@pytest.mark.parametrize("kind", ["dask", "ray"])
def test_an_unknown_option_is_told_with_its_place_and_what_was_meant(
    daemon: Daemon, kind: str
) -> None:
    body = {"name": "lab", "kind": kind, "options": {"addres": "h:1"}}
    status, found = asked(daemon, "POST", ROOT, body)
    assert status == 422
    (problem,) = found["errors"]
    assert problem["loc"] == ["options", "addres"]
    assert problem["suggestion"] == "address"


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("dask", f"tcp://{REMOTE}:8786"),
        ("dask", f"{REMOTE}:8786"),
        ("ray", f"ray://{REMOTE}:10001"),
    ],
)
def test_a_remote_address_without_tls_is_refused_unless_insecure_is_written(
    daemon: Daemon, kind: str, address: str
) -> None:
    body = {"name": "far", "kind": kind, "options": {"address": address}}
    status, found = asked(daemon, "POST", ROOT, body)
    assert (status, found["code"]) == (422, "executor.insecure")
    assert "TLS" in found["errors"][0]["msg"]
    assert "insecure" in json.dumps(found)
    body["options"] |= {"insecure": True}
    assert asked(daemon, "POST", ROOT, body)[0] == 201
    assert asked(daemon, "DELETE", f"{ROOT}/far")[0] == 204


@pytest.mark.parametrize("scheme", ["dask", "tcp", "ray"])
def test_a_switch_to_such_an_address_is_refused_before_anything_is_tried(
    daemon: Daemon, scheme: str
) -> None:
    before = named(daemon)
    began = time.monotonic()
    status, found = asked(daemon, "PUT", ACTIVE, {"name": f"{scheme}://{REMOTE}:8786"})
    assert (status, found["code"]) == (422, "executor.insecure")
    assert "--insecure" in json.dumps(found)
    assert time.monotonic() - began < 5
    assert named(daemon) == before


@pytest.mark.slow
def test_a_switch_to_where_nobody_answers_ends_in_its_time_and_changes_nothing(
    daemon: Daemon,
) -> None:
    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        options = {"address": address, "connect_timeout": 2}
        body = {"name": "silent", "kind": "dask", "options": options}
        assert asked(daemon, "POST", ROOT, body)[0] == 201
        began = time.monotonic()
        status, found = asked(daemon, "PUT", ACTIVE, {"name": "silent", "keep_going": True})
        took_s = time.monotonic() - began
    assert status == 200
    assert (found["switched"], found["active"]) == (False, "local")
    (row,) = found["findings"]
    assert (row["level"], row["code"]) == ("failed", "executor.unavailable")
    assert row["fix"]
    assert took_s < 15
    assert daemon.json("GET", "/api/v1/status")["executor"]["name"] == "local"
    assert daemon.json("GET", f"{ROOT}/silent")["state"] == "closed"
    assert asked(daemon, "DELETE", f"{ROOT}/silent")[0] == 204


def test_a_run_on_an_unknown_executor_is_told_which_was_meant(daemon: Daemon) -> None:
    daemon.define("hello", "def stage():\n    return 1")
    status, found = asked(daemon, "POST", "/api/v1/workflows/hello/runs", {"executor": "dsk"})
    assert (status, found["code"], found["fix"]) == (
        404, "executor.not_found", "did you mean 'dask'?"
    )  # fmt: skip
