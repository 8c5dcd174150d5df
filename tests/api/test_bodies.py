"""Bodies that are odd JSON, too large, compressed or of another type: a clear 4xx, soon."""

from __future__ import annotations

import gzip
import time
from statistics import median
from typing import TYPE_CHECKING

import pytest

from flowdapt.api.backend import ApiLimits
from tests.api.backends import exchange, running_api

if TYPE_CHECKING:
    from tests.api.backends import Api

pytestmark = pytest.mark.trio
RUNS = "/api/v1/workflows/flow/runs"
JSON = {"content-type": "application/json"}

ODD = {
    "depth": b"[" * 100_000,
    "closed depth": b'{"input":{"a":' + b"[" * 65 + b"]" * 65 + b"}}",
    "long number": b'{"input":{"a":' + b"9" * 500_000 + b"}}",
    "huge float": b'{"input":{"a":1e999}}',
    "nan": b'{"input":{"a":NaN}}',
    "infinity": b'{"input":{"a":-Infinity}}',
    "duplicate": b'{"input":{"a":1,"a":2}}',
    "surrogate": b'{"input":{"a":"\\ud800"}}',
    "surrogate key": b'{"input":{"\\udfff":1}}',
    "nul": b'{"input":{"a":"\\u0000"}}',
    "raw control": b'{"input":{"a":"\x01"}}',
    "cut": b'{"input":{"a":',
    "two values": b"{} {}",
    "bom": b"\xef\xbb\xbf{}",
    "utf-16": '{"input":{}}'.encode("utf-16"),
    "not utf-8": b'{"input":{"a":"\xff"}}',
    "list": b"[]",
    "text": b'"x"',
    "pickle": b"\x80\x04K\x01.",
    "number": b"1",
    "wrong type": b'{"input":[]}',
    "brackets": b'{"input":{"a":[' + b"[]," * 200_000 + b"[]]}}",
}


@pytest.mark.parametrize("case", sorted(set(ODD) - {"brackets"}))
async def test_an_odd_body_is_refused_at_once_and_nothing_is_stored(api: Api, case: str) -> None:
    await api.apply()
    taken = []
    for _ in range(3):
        # Of this process alone: what others do on the machine is no fault of the daemon.
        began = time.process_time()
        answer = await api.client.post(RUNS, content=ODD[case], headers=JSON)
        taken.append(time.process_time() - began)
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["code"]
        assert answer.json()["fix"]
    assert median(taken) < 0.1
    assert (await api.client.get("/api/v1/runs")).json()["items"] == []


async def test_a_deep_but_allowed_body_is_taken(api: Api) -> None:
    await api.apply()
    body = b'{"input":{"a":' + b"[" * 40 + b"]" * 40 + b"}}"
    answer = await api.client.post(RUNS, content=body, headers=JSON)
    assert answer.status_code in (200, 202)


@pytest.mark.parametrize("kind", ["text/plain", "application/yaml", "multipart/form-data", "x"])
async def test_a_body_of_another_type_is_not_read(api: Api, kind: str) -> None:
    await api.apply()
    answer = await api.client.post(RUNS, content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


async def test_parameters_of_the_content_type_do_not_matter(api: Api) -> None:
    await api.apply()
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await api.client.post(RUNS, content=b"{}", headers=kind)).status_code < 300


async def test_a_compressed_body_is_not_unpacked(api: Api) -> None:
    await api.apply()
    bomb = gzip.compress(b"0" * 10_000_000)
    headers = {**JSON, "content-encoding": "gzip"}
    answer = await api.client.post(RUNS, content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "http.encoding")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(api: Api) -> None:
    await api.apply()
    headers = {**JSON, "content-length": str(10 * 1024**3)}
    answer = await api.client.post(RUNS, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "http.body_too_large")
    assert answer.headers["connection"] == "close"


async def test_a_body_without_a_length_is_counted() -> None:
    async with running_api(listen=True, limits=ApiLimits(body_bytes=1000)) as api:
        await api.apply()
        for path in (RUNS, "/api/v1/apply"):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\n"
            body = b"64\r\n" + b" " * 100 + b"\r\n"
            answer = await exchange(
                api, head.encode() + b"transfer-encoding: chunked\r\n\r\n" + body * 50
            )
            assert answer.startswith(b"HTTP/1.1 413"), answer


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/nothing", "/api/v2/runs", "/", "/api/v1/"])
async def test_an_unknown_path_is_a_problem_too(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "http.no_such_path")


async def test_an_unknown_method_says_which_are_known(api: Api) -> None:
    answer = await api.client.request("BREW", "/api/v1/status")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_an_unforeseen_failure_is_a_problem_without_its_innards(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(api.backend.runs, "get", broken)
    monkeypatch.setattr(api.backend.health, "status", broken)
    for path in ("/api/v1/runs/abcdefgh", "/api/v1/status"):
        answer = await api.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "hunter2" not in answer.text
