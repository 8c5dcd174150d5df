"""Requests, answers and the errors that answers stand for."""

from __future__ import annotations

import json

import pytest

from flowdapt.client.wire import Request, Response, error_of, json_of
from flowdapt.domain import errors


def refused(status: int, **body: object) -> errors.FlowdaptError:
    return error_of(Response(status, {}, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "not_found", errors.NotFound),
        (404, "artifact.missing", errors.MissingArtifact),
        (404, "workflow.no_such", errors.NotFound),
        (409, "run.key_reused", errors.KeyReused),
        (412, "resource.stale", errors.StaleRevision),
        (422, "workflow.cycle", errors.InvalidInput),
        (413, "too_large", errors.TooLarge),
        (429, "run.queue_full", errors.QueueFull),
        (503, "daemon.draining", errors.Draining),
        (507, "store.full", errors.StorageFull),
        (418, "tea.pot", errors.FlowdaptError),
    ],
)
def test_an_answer_becomes_the_error_it_stands_for(status: int, code: str, kind: type) -> None:
    error = refused(status, detail="so it is", code=code, fix="do this")
    assert type(error) is kind
    assert (error.message, error.exact_code, error.fix) == ("so it is", code, "do this")


def test_problems_come_with_place_and_suggestion() -> None:
    error = refused(
        422,
        detail="d",
        code="workflow.unknown_dependency",
        errors=[
            {
                "loc": ["spec", "stages", 2],
                "msg": "no",
                "code": "c",
                "suggestion": "s",
                "line": 14,
                "column": 7,
            }
        ],
    )
    (problem,) = error.problems
    assert problem == errors.Problem("c", "no", ("spec", "stages", 2), "s", None, None, 14, 7)


def test_an_answer_that_is_no_problem_document_is_an_error_all_the_same() -> None:
    error = error_of(Response(502, {}, b"<html>bad gateway</html>"))
    assert "is there a flowdapt daemon" in str(error.fix)
    assert type(error) is errors.FlowdaptError
    assert "502" in error.message


def test_a_body_that_is_no_json_is_said_so() -> None:
    with pytest.raises(errors.FlowdaptError, match="not JSON"):
        json_of(Response(200, {}, b"\xff"))


@pytest.mark.parametrize(
    ("request_", "repeatable"),
    [
        (Request("GET", "/"), True),
        (Request("DELETE", "/"), True),
        (Request("POST", "/"), False),
        (Request("POST", "/", headers=(("Idempotency-Key", "k"),)), True),
    ],
)
def test_only_what_does_no_harm_twice_is_sent_again(request_: Request, repeatable: bool) -> None:
    assert request_.repeatable is repeatable


def test_a_header_replaces_its_older_self() -> None:
    request = Request("GET", "/", headers=(("Last-Event-ID", "1"),))
    assert request.with_header("last-event-id", "2").headers == (("last-event-id", "2"),)
