"""Bad input over a real socket, row by row: a clear 4xx with code and fix, at once, nothing stored.

A test's id begins with its row in the list of bad inputs (`test_bad_input_rows.py` holds the list).
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import YAML, ask, refused, request, taken
from tests.hostile_texts import FLOW, TEXTS
from tests.workstation import Workstation, stage, workflow, workstation

RUNS = "/api/v1/workflows/flow/runs"
APPLY = "/api/v1/apply"


@pytest.fixture(scope="module")
def station() -> Iterator[Workstation]:
    """Share one daemon: that it survives everything before is part of each test."""
    with workstation(FLOWDAPT_TARGETS__ALLOWED='["user_modules", "allowed"]') as one:
        one.module("work", "def stage():\n    return 1")
        one.start()
        document = workflow("flow", stage("only", "user_modules.work.stage"))
        taken(one, request("POST", APPLY, json.dumps([document])))
        # The first question of all waits for the framework to be loaded.
        taken(one, request("GET", "/api/v1/status"))
        yield one
        one.doctor()


def run_of(**body: Any) -> str:
    return json.dumps(body)


def document(name: str = "bad", target: str = "user_modules.work.stage") -> str:
    return json.dumps([workflow(name, stage("only", target))])


# -- the body as bytes (rows 4, 16, 17, 18, 49) ------------------------------------------------------------------------

BODIES = {
    "row_18 depth 100,000": b'{"input":{"a":' + b"[" * 100_000,
    "row_18 depth 10,000, closed": b'{"input":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
    "row_18 depth 10,000 of mappings": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "row_18 number of 1 MB": b'{"input":{"a":' + b"9" * 1_000_000 + b"}}",
    "row_18 NaN": b'{"input":{"a":NaN}}',
    "row_18 Infinity": b'{"input":{"a":-Infinity}}',
    "row_18 1e999": b'{"input":{"a":1e999}}',
    "row_18 duplicate keys": b'{"input":{"a":1,"a":2}}',
    "row_18 lone surrogate": b'{"input":{"a":"\\ud800"}}',
    "row_18 lone surrogate in a key": b'{"input":{"\\udfff":1}}',
    "row_18 lone surrogate in a label": b'{"labels":{"a":"\\ud800"}}',
    "row_18 lone surrogate in a namespace": b'{"namespace":"\\ud800"}',
    "row_18 surrogates in the wrong order": b'{"input":{"a":"\\udc00\\ud800"}}',
    "row_18 surrogate as bytes": b'{"input":{"a":"\xed\xa0\x80"}}',
    "row_18 NUL": b'{"input":{"a":"x\\u0000y"}}',
    "row_18 NUL in a label": b'{"labels":{"a\\u0000":"b"}}',
    "row_18 raw control": b'{"input":{"a":"\x1b[2J"}}',
    "row_18 not UTF-8": b'{"input":{"a":"\xff"}}',
    "row_18 overlong UTF-8": b'{"input":{"a":"\xc0\xaf"}}',
    "row_18 two values": b"{} {}",
    "row_18 cut": b'{"input":{"a":',
    "row_25 byte order mark": b"\xef\xbb\xbf{}",
    "row_25 UTF-16": '{"input":{}}'.encode("utf-16"),
    "row_49 pickle": pickle.dumps({"input": {}}),
    "row_53 list": b"[]",
    "row_53 text": b'"x"',
    "row_53 input of another type": b'{"input":[]}',
}


@pytest.mark.parametrize("case", BODIES)
def test_an_odd_body_is_refused(station: Workstation, case: str) -> None:
    for path in (RUNS, APPLY) if "row_18" in case else (RUNS,):
        refused(station, request("POST", path, BODIES[case]))


@pytest.mark.parametrize(
    "form", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_row_04_a_form_of_a_web_page_is_not_read(station: Workstation, form: str) -> None:
    refused(station, request("POST", RUNS, "{}", form), (415,), "http.content_type")


def test_row_49_pickle_as_such_is_not_read(station: Workstation) -> None:
    form = "application/x-python-pickle"
    refused(station, request("POST", APPLY, pickle.dumps([]), form), (415,), "http.content_type")


LENGTHS = {
    "row_16 10 GB announced": (b"content-length: 10737418240\r\n", b"{}", (413,)),
    "row_16 a length of a thousand digits": (b"content-length: " + b"9" * 1000 + b"\r\n", b"{}", (400, 413)),
    "row_16 negative": (b"content-length: -1\r\n", b"{}", (400,)),
    "row_16 signed": (b"content-length: +2\r\n", b"{}", (400,)),
    "row_16 hexadecimal": (b"content-length: 0x2\r\n", b"{}", (400,)),
    "row_16 two lengths": (b"content-length: 2\r\ncontent-length: 3\r\n", b"{}", (400,)),
    "row_16 a list of lengths": (b"content-length: 2, 3\r\n", b"{}", (400,)),
    "row_16 length and chunks": (
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n", (400,),
    ),
    "row_16 chunks and length": (
        b"transfer-encoding: chunked\r\ncontent-length: 2\r\n", b"0\r\n\r\n", (400,),
    ),
    "row_16 another transfer coding": (b"transfer-encoding: gzip, chunked\r\n", b"0\r\n\r\n", (400, 501)),
    "row_16 chunked twice": (
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n", (400, 501),
    ),
    "row_16 a chunk size that is none": (b"transfer-encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n", (400,)),
    "row_16 a chunk size without end": (
        b"transfer-encoding: chunked\r\n", b"f" * 40 + b"\r\n{}\r\n", (400, 413),
    ),
    "row_16 chunks without end": (
        b"transfer-encoding: chunked\r\n", (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 40, (413,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LENGTHS)
def test_a_length_that_cannot_be_trusted_is_refused(station: Workstation, case: str) -> None:
    headers, body, statuses = LENGTHS[case]
    for path in (RUNS, APPLY):
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".encode()
        kind = b"content-type: application/json\r\n"
        refused(station, head + kind + headers + b"\r\n" + body, statuses)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_row_17_a_compressed_body_is_not_unpacked(station: Workstation, coding: str) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    sent = request("POST", RUNS, bomb, content_encoding=coding)
    refused(station, sent, (415,), "http.encoding")


# -- documents (rows 20-25) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TEXTS)
def test_a_bad_text_is_refused(station: Workstation, case: str) -> None:
    text, statuses = TEXTS[case]
    answer = refused(station, request("POST", APPLY, text, YAML), statuses)
    if answer.status == 422 and "nothing" not in case:
        first = answer.problem["errors"][0]
        assert first["line"] >= 1, first
        assert first["column"] >= 1, first
    refused(station, request("PUT", "/api/v1/workflows/bad", text, YAML), statuses)


def test_row_24_words_and_sexagesimals_are_texts(station: Workstation) -> None:
    text = (
        "kind: config\nmetadata: {name: core, annotations: {on: yes, at: 1:30:00, day: 2026-01-31, oct: 0777}}\n"
        "spec: {selector: {type: name, value: flow}, data: {}}\n"
    )
    answer = taken(station, request("POST", f"{APPLY}?dry_run=true", text, YAML))
    diff = json.loads(answer.body)["items"][0]["diff"]
    for written in ('"on": "yes"', '"1:30:00"', '"2026-01-31"', "oct: 777"):
        assert written in diff, diff


def test_row_25_several_documents_are_fine(station: Workstation) -> None:
    text = FLOW + "---\n" + FLOW.replace("bad", "worse")
    answer = taken(station, request("POST", f"{APPLY}?dry_run=true", text, YAML))
    assert [one["name"] for one in json.loads(answer.body)["items"]] == ["bad", "worse"]


# -- names (rows 26, 27) -----------------------------------------------------------------------------------------------

# As they stand in a path; each is one segment.
PATH_NAMES = {
    "row_26 encoded slashes": "..%2f..%2fetc%2fpasswd",
    "row_26 encoded slash": "..%2F",
    "row_26 encoded twice": "%252e%252e%252fpasswd",
    "row_26 backslash": "..%5c..%5cpasswd",
    "row_26 bare backslash": "a\\b",
    "row_26 NUL": "a%00b",
    "row_26 300 letters": "a" * 300,
    "row_26 trailing dot": "model.",
    "row_26 trailing space": "model%20",
    "row_26 leading dot": ".hidden",
    "row_26 dots inside": "a..b",
    "row_26 device": "CON",
    "row_26 device with a suffix": "nul.txt",
    "row_26 colon": "a:b",
    "row_26 line end": "a%0ab",
    "row_26 carriage return": "a%0d%0aSet-Cookie:x",
    "row_26 not UTF-8": "%ff%fe",
    "row_26 overlong slash": "%c0%af",
    "row_26 an escape sequence": "%1b%5b2J",
    "row_26 broken percent": "%zz",
    "row_26 percent alone": "%",
    "row_26 star": "*",
    "row_26 tilde": "~root",
    "row_27 dollar": "$ALL",
    "row_27 Unicode look-alike": "%d0%b0rtifact",
    "row_27 full-width": "%ef%bd%81bc",
    "row_27 right to left": "a%e2%80%aeb",
    "row_27 zero width": "a%e2%80%8bb",
    "row_27 surrogate as bytes": "%ed%a0%80",
}
PLACES = {
    "artifact": ("PUT", "/api/v1/artifacts/default/{}/data.bin", "application/octet-stream"),
    "file": ("PUT", "/api/v1/artifacts/default/model/{}", "application/octet-stream"),
    "namespace": ("PUT", "/api/v1/artifacts/{}/model/data.bin", "application/octet-stream"),
    "got file": ("GET", "/api/v1/artifacts/default/model/{}", ""),
    "listed namespace": ("GET", "/api/v1/artifacts/{}", ""),
    "deleted artifact": ("DELETE", "/api/v1/artifacts/default/{}", ""),
    "workflow": ("GET", "/api/v1/workflows/{}", ""),
    "submitted workflow": ("POST", "/api/v1/workflows/{}/runs", "application/json"),
    "run": ("GET", "/api/v1/runs/{}", ""),
    "stage": ("GET", "/api/v1/runs/abcdefgh/stages/{}/items", ""),
    "secret": ("PUT", "/api/v1/secrets/{}", "application/json"),
}


@pytest.mark.parametrize("case", PATH_NAMES)
def test_a_bad_name_in_a_path_is_refused(station: Workstation, case: str) -> None:
    for method, path, form in PLACES.values():
        body = {"": "", "application/json": '{"value": "x"}' if "secrets" in path else "{}"}.get(
            form, "x"
        )
        refused(station, request(method, path.format(PATH_NAMES[case]), body, form), (400, 422))


@pytest.mark.parametrize(
    "path",
    ["/api/v1/artifacts/../../../etc/passwd", "/api/v1/artifacts/default/%2e%2e/x", "/api/v1/artifacts/default/./x",
     "/api/v1/artifacts//x/y", "//etc/passwd", "/api/v1/artifacts/default//data", "/api/v1/../../livez"],
)  # fmt: skip
def test_row_26_dots_and_empty_segments_lead_nowhere(station: Workstation, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        body = "x" if method == "PUT" else ""
        refused(
            station, request(method, path, body, "application/octet-stream"), (400, 404, 405, 422)
        )


BAD_NAMES = {
    "row_27 dots": "..",
    "row_27 dot": ".",
    "row_27 empty": "",
    "row_27 colon": "a:b",
    "row_27 all": "$ALL",
    "row_27 Cyrillic": "\u0430dmin",
    "row_27 full-width": "\uff41bc",
    "row_27 ligature": "o\ufb03ce",
    "row_27 right to left": "a\u202eb",
    "row_27 isolate": "a\u2066b",
    "row_27 zero width": "a\u200bb",
    "row_27 combining": "e\u0301",
    "row_27 separator": "a/b",
    "row_27 absolute": "/abs",
    "row_27 backslash": "a\\b",
    "row_27 escape sequence": "a\x1b[2J",
    "row_27 line end": "a\n",
    "row_27 trailing space": "a ",
    "row_27 300 letters": "a" * 300,
    "row_27 a megabyte": "a" * 900_000,
    "row_27 device": "CON",
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_a_bad_name_in_a_body_is_refused(station: Workstation, case: str) -> None:
    name = BAD_NAMES[case]
    refused(station, request("POST", APPLY, document(name)), (422,))
    refused(station, request("POST", "/api/v1/workflows", document(name)[1:-1]), (422,))
    refused(station, request("POST", RUNS, run_of(namespace=name)), (422,))
    refused(station, request("POST", RUNS, run_of(executor=name)), (422,))
    stages = json.dumps([workflow("bad", stage(name, "user_modules.work.stage"))])
    refused(station, request("POST", APPLY, stages), (422,))


KEYS = {
    "row_18 empty": b"",
    "row_18 space": b"a b",
    "row_18 129 letters": b"k" * 129,
    "row_18 not ASCII": "kä".encode(),
    "row_18 surrogate as bytes": b"\xed\xa0\x80",
    "row_18 slash": b"a/b",
    "row_18 percent": b"%00",
}


@pytest.mark.parametrize("case", KEYS)
def test_an_idempotency_key_outside_its_alphabet_is_refused(
    station: Workstation, case: str
) -> None:
    for path in (RUNS, "/api/v1/runs/abcdefgh/retry"):
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n".encode()
        refused(station, head + b"idempotency-key: " + KEYS[case] + b"\r\n\r\n", (400, 422))


# -- targets (rows 33, 34) and what else a document asks for ----------------------------------------------------------

TARGETS = {
    "row_33 os": "os:system",
    "row_33 subprocess": "subprocess.getoutput",
    "row_33 a prefix that is not a package": "user_modules_evil.x",
    "row_33 the package alone": "user_modules",
    "row_34 globals": "user_modules.b:c.__globals__",
    "row_34 class": "user_modules:__class__",
    "row_34 dunder module": "user_modules.__init__.x",
    "row_34 path": "../x:f",
    "row_34 space": "a b:c",
    "row_34 empty": "",
    "row_34 two colons": "user_modules.a:b:c",
    "row_34 call": "user_modules.a:b()",
    "row_34 dots": "user_modules..a",
    "row_34 leading dot": ".user_modules.a",
    "row_34 Unicode": "user_modules.\u0430",
    "row_34 line end": "user_modules.a\n",
    "row_34 NUL": "user_modules.a\0",
    "row_34 a megabyte": "user_modules." + "a" * 900_000,
    "row_34 a megabyte of dots": "user_modules" + ".a" * 450_000,
}


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_may_not_be_is_refused(station: Workstation, case: str) -> None:
    refused(station, request("POST", APPLY, document(target=TARGETS[case])), (422,))


def test_row_33_the_daemon_imports_no_target(station: Workstation) -> None:
    station.module(
        "eager", f"open({str(station.home / 'imported')!r}, 'w')\ndef stage():\n    pass"
    )
    sent = request("POST", f"{APPLY}?dry_run=true", document(target="user_modules.eager.stage"))
    taken(station, sent)
    assert not (station.home / "imported").exists()


# -- trigger rules (rows 36, 37, 39, 40, 41, 44) ----------------------------------------------------------------------


def deep(depth: int) -> Any:
    nested: Any = {"eq": [1, 1]}
    for _ in range(depth):
        nested = {"and": [nested]}
    return nested


RUN = {"target": "run_workflow", "parameters": {"workflow": "flow"}}


def rule(kind: str, when: Any, action: Any = RUN, **more: Any) -> str:
    spec = {"type": kind, "rule": when, "actions": [action], **more}
    return json.dumps([{"kind": "trigger_rule", "metadata": {"name": "bad"}, "spec": spec}])


def webhook(url: str, **more: Any) -> str:
    return rule(
        "interval", {"every": "1h"}, {"target": "webhook", "parameters": {"url": url, **more}}
    )


RULES = {
    "row_36 import": rule("interval", {"every": "1h"}, {"target": "os:system", "parameters": {}}),
    "row_36 dotted": rule("interval", {"every": "1h"}, {"target": "subprocess.run"}),
    "row_37 dunder": rule("condition", {"__class__": 1}),
    "row_37 unknown operator": rule("condition", {"no_such_operator": [1, 2]}),
    "row_37 two keys": rule("condition", {"eq": [1, 1], "ne": [1, 1]}),
    "row_37 empty": rule("condition", {}),
    "row_37 depth 30": rule("condition", deep(30)),
    "row_37 depth 70": rule("condition", deep(70)),
    "row_37 a thousand nodes": rule("condition", {"or": [{"eq": [{"var": "a"}, 1]}] * 1_000}),
    "row_37 ten thousand dots": rule("condition", {"eq": [{"var": "a" + ".a" * 10_000}, 1]}),
    "row_37 arity": rule("condition", {"eq": [1]}),
    "row_39 no pattern": rule("condition", {"matches": [{"var": "a"}, "(a"]}),
    "row_39 back reference": rule("condition", {"matches": [{"var": "a"}, r"(a)\1"]}),
    "row_40 every zero": rule("schedule", ["*/0 * * * *"]),
    "row_40 minute 60": rule("schedule", ["60 * * * *"]),
    "row_40 30 February": rule("schedule", ["0 0 30 2 *"]),
    "row_40 commas": rule("schedule", ["1" + ",1" * 10_000 + " * * * *"]),
    "row_40 reboot": rule("schedule", ["@reboot"]),
    "row_40 six fields": rule("schedule", ["* * * * * *"]),
    "row_40 a zone that climbs": rule("schedule", ["0 3 * * *"], timezone="../../etc/passwd"),
    "row_40 a zone that is a file": rule("schedule", ["0 3 * * *"], timezone="/etc/localtime"),
    "row_40 no interval": rule("interval", {"every": "0s"}),
    "row_41 loopback": webhook("http://127.0.0.1/"),
    "row_41 IPv6": webhook("http://[::1]/"),
    "row_41 mapped": webhook("http://[::ffff:169.254.169.254]/"),
    "row_41 hexadecimal": webhook("http://0xA9FEA9FE/"),
    "row_41 decimal": webhook("http://2852039166/"),
    "row_41 localhost": webhook("http://localhost./"),
    "row_41 user": webhook("https://user@example.com/"),
    "row_41 unix": webhook("unix:/run/x.sock"),
    "row_41 file": webhook("file:///etc/passwd"),
    "row_44 line end in a header": webhook("https://example.com/", headers={"x": "a\r\nb: c"}),
    "row_44 line end in the URL": webhook("https://example.com/\r\nx"),
    "row_44 template": webhook("https://example.com/", body="{{secret}}"),
}


@pytest.mark.parametrize("case", RULES)
def test_a_rule_that_may_not_be_is_refused(station: Workstation, case: str) -> None:
    refused(station, request("POST", APPLY, RULES[case]), (422,))


@pytest.mark.parametrize(
    "amount",
    ["inf", "-inf", "nan", "Infinity", "1e999", -1, 10**300, "1e999s", "\u0663", [], {}, "x"],
)
def test_row_18_an_amount_that_is_no_number_is_refused(station: Workstation, amount: Any) -> None:
    """Texts become numbers where a number is meant: these must not."""
    for field in ("cpus", "gpus", "memory", "licence"):
        only = stage("only", "user_modules.work.stage", resources={field: amount})
        refused(station, request("POST", APPLY, json.dumps([workflow("bad", only)])), (422,))
    for field in ("timeout", "retry"):
        only = stage(
            "only",
            "user_modules.work.stage",
            **{field: {"initial": amount} if field == "retry" else amount},
        )
        refused(station, request("POST", APPLY, json.dumps([workflow("bad", only)])), (422,))
    refused(station, request("POST", RUNS, run_of(timeout=amount)), (422,))


# -- what the server owns, and secrets (rows 52, 53) -------------------------------------------------------------------

OWNED = [
    "state",
    "owner",
    "epoch",
    "id",
    "uid",
    "created_at",
    "result",
    "source",
    "parent",
    "name",
    "revision",
]


@pytest.mark.parametrize("field", OWNED)
def test_row_53_what_the_server_owns_cannot_be_sent(station: Workstation, field: str) -> None:
    refused(station, request("POST", RUNS, run_of(**{field: "x"})), (422,), "field.unknown")
    spec = {"stages": [stage("only", "user_modules.work.stage")], field: "x"}
    text = json.dumps([{"kind": "workflow", "metadata": {"name": "bad"}, "spec": spec}])
    refused(station, request("POST", APPLY, text), (422,))
    refused(station, request("POST", "/api/v1/runs/abcdefgh/retry", run_of(**{field: "x"})), (422,))
    owned = {
        "kind": "workflow",
        field: "x",
        **workflow("bad", stage("a", "user_modules.work.stage")),
    }
    refused(station, request("PUT", "/api/v1/workflows/bad", json.dumps(owned)), (422,))


def test_row_52_a_masked_value_keeps_the_secret_that_is_there(station: Workstation) -> None:
    taken(station, request("PUT", "/api/v1/secrets/KEEP", '{"value": "the real value"}'))
    for path in ("/api/v1/secrets", "/api/v1/secrets/KEEP"):
        assert b"the real value" not in taken(station, request("GET", path)).body
    taken(station, request("PUT", "/api/v1/secrets/KEEP", '{"value": "***"}'))
    assert "the real value" in next(station.home.rglob("secrets.json")).read_text()
    refused(
        station, request("PUT", "/api/v1/secrets/NEW", '{"value": "***"}'), (422,), "secret.masked"
    )


@pytest.mark.parametrize("body", ['{"value": ""}', '{"value": 1}', "{}", '{"value": "a", "x": 1}',
                                  json.dumps({"value": "v" * 70_000})])  # fmt: skip
def test_row_53_a_secret_that_is_none_is_refused(station: Workstation, body: str) -> None:
    refused(station, request("PUT", "/api/v1/secrets/NEW", body), (413, 422))


QUERIES = {
    "row_53 unknown": "/api/v1/runs?colour=red",
    "row_53 limit": "/api/v1/runs?limit=501",
    "row_53 no number": "/api/v1/runs?limit=1e9",
    "row_53 cursor": "/api/v1/runs?cursor=../../etc/passwd",
    "row_53 cursor that is no text": "/api/v1/runs?cursor=%ff%fe",
    "row_53 state": "/api/v1/runs?state=lost",
    "row_53 instant": "/api/v1/runs?since=yesterday",
    "row_53 instant of the year 0": "/api/v1/runs?since=0000-01-01T00:00:00Z",
    "row_53 NUL": "/api/v1/runs?q=a%00",
    "row_53 surrogate": "/api/v1/runs?workflow=%ed%a0%80&colour=red",
    "row_53 a label without a value": "/api/v1/runs?label=a",
    "row_53 a long text": "/api/v1/runs?q=" + "a" * 300,
    "row_53 a resource's page": "/api/v1/workflows?cursor=x",
    "row_53 a revision": "/api/v1/workflows/flow?revision=0",
    "row_53 a revision beyond the store": "/api/v1/workflows/flow?revision=99999999999999999999999",
}


@pytest.mark.parametrize("case", QUERIES)
def test_a_wrong_query_is_refused(station: Workstation, case: str) -> None:
    refused(station, request("GET", QUERIES[case]), (400, 422))


def test_an_input_that_nobody_takes_is_no_refusal_and_a_slip_is_told(station: Workstation) -> None:
    """The daemon imports no target, so it is the worker who knows the parameters: it warns in the log."""
    station.module("slip", "def stage(n_vals: int = 3):\n    return n_vals")
    text = json.dumps([workflow("slip", stage("only", "user_modules.slip.stage"))])
    taken(station, request("POST", APPLY, text))
    sent = request(
        "POST", "/api/v1/workflows/slip/runs", run_of(input={"n_vlas": 5, "x": 1}), prefer="wait=30"
    )
    run = json.loads(taken(station, sent).body)
    assert (run["state"], run["result"]) == ("finished", 3)
    logs = json.loads(taken(station, request("GET", f"/api/v1/runs/{run['uid']}/logs")).body)
    (line,) = [one for one in logs["items"] if one["level"] == "warning"]
    assert "'n_vlas'" in line["text"]
    assert "did you mean 'n_vals'" in line["text"]


def test_row_28_what_a_stage_placed_beside_its_artifact_is_not_given_out(
    station: Workstation,
) -> None:
    """Links, pipes, folders and files of impossible names: neither listed nor read nor waited for."""
    base = "/api/v1/artifacts/default"
    taken(station, request("PUT", f"{base}/model/a.json", "{}", "application/octet-stream"))
    folder = station.home / "artifacts" / "default" / "model"
    for name in (b"x\x1b[2J", b"\xff\xfe", b"a\nb", b"..x", "\u202e.json".encode()):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("secret")
        Path(os.fsdecode(os.fsencode(folder.parent) + b"/" + name)).mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "folder").mkdir()
    (folder.parent / "etc").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    listed = json.loads(taken(station, request("GET", base)).body)["items"]
    assert [one["name"] for one in listed] == ["model"]
    detail = json.loads(taken(station, request("GET", f"{base}/model")).body)
    assert [one["name"] for one in detail["files"]] == ["a.json"]
    for path in ("model/link", "model/endless", "model/folder", "model/pipe", "etc", "etc/passwd"):
        refused(station, request("GET", f"{base}/{path}"), (404,), "artifact.missing")
        if path.startswith("model"):
            refused(station, request("GET", f"{base}/{path}/preview"), (404,), "artifact.missing")
    assert ask(station.socket_path, request("DELETE", f"{base}/model")).status == 204
    assert Path("/etc/passwd").exists()
