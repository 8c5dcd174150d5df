"""Resources as documents, their differences, and what is stale."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flowdapt.domain.changes import document_of, in_reading_order, refuse_stale, unified_diff
from flowdapt.domain.documents import read
from flowdapt.domain.errors import StaleRevision
from flowdapt.domain.resource import Metadata, Resource, canonical, kind_named
from flowdapt.domain.validation import check
from flowdapt.domain.yaml_writing import to_yaml

MADE = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def resource(target: str = "a.b", **metadata: Any) -> Resource:
    stage = {"depends_on": [], "name": "s", "target": target, "timeout": "90m"}
    return Resource(
        kind="workflow",
        metadata=Metadata(name="w", **metadata),
        spec={"stages": [stage], "description": "x"},
    )


def test_the_canonical_text_is_one_text() -> None:
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(float("nan"))


def test_no_kind_is_named_by_a_strange_word() -> None:
    assert kind_named("work flow") is None
    assert kind_named("") is None


def test_a_resource_reads_as_a_person_would_write_it() -> None:
    assert to_yaml(document_of(resource(revision=2), server_fields=False)) == (
        "kind: workflow\n"
        "metadata:\n"
        "  name: w\n"
        "spec:\n"
        "  stages:\n"
        "    - name: s\n"
        "      target: a.b\n"
        "      timeout: 90m\n"
        "  description: x\n"
    )


def test_get_and_apply_again_changes_nothing() -> None:
    stored = in_reading_order(
        resource(uid="u", revision=3, created_at=MADE, updated_at=MADE, annotations={"g": "n"})
    )
    (document,), problems = read(to_yaml(document_of(stored)))
    assert problems == []
    again = check(document).resource
    assert again == stored
    assert again is not None
    refuse_stale(again, stored)


@pytest.mark.parametrize(
    "sent",
    [{"revision": 2}, {"uid": "v"}, {"created_at": "2026-01-02T03:04:05Z"}, {"updated_at": MADE}],
)
def test_server_owned_metadata_is_a_precondition(sent: dict[str, Any]) -> None:
    current = resource(uid="u", revision=3, created_at=MADE, updated_at=datetime.now(UTC))
    with pytest.raises(StaleRevision, match="is at revision 3"):
        refuse_stale(resource(**sent), current)
    with pytest.raises(StaleRevision, match="does not exist"):
        refuse_stale(resource(**sent), None)


def test_a_document_without_it_has_no_precondition() -> None:
    refuse_stale(resource(), resource(uid="u", revision=3))
    refuse_stale(resource(), None)


def test_a_difference_is_a_unified_diff_of_yaml() -> None:
    diff = unified_diff(resource(revision=3), resource("a.c"))
    assert diff.splitlines()[:2] == ["--- workflow/w (revision 3)", "+++ workflow/w (new)"]
    assert "-      target: a.b" in diff.splitlines()
    assert "+      target: a.c" in diff.splitlines()
    assert unified_diff(resource(revision=3), resource()) == ""
    assert "+kind: workflow" in unified_diff(None, resource()).splitlines()


def test_the_order_of_keys_in_free_mappings_is_no_difference() -> None:
    schemas: list[Any] = [
        {"type": "object", "required": ["a"]},
        {"required": ["a"], "type": "object"},
    ]
    one, other = (
        resource(annotations=annotations).model_copy(
            update={"spec": {"stages": [{"name": "s", "target": "a.b"}], "input_schema": schema}}
        )
        for schema, annotations in zip(schemas, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], strict=True)
    )
    assert unified_diff(one, other) == ""
