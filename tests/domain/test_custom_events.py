"""Which events others may add to the journal."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.custom_events import DATA_MAX_BYTES, RESERVED_TYPES, read_custom_event
from flowdapt.domain.errors import InvalidInput, TooLarge


def raw(**more: Any) -> bytes:
    event = {"specversion": "1.0", "id": "1", "source": "here", "type": "com.example.told"}
    return json.dumps(event | more).encode()


def test_an_event_becomes_a_draft() -> None:
    draft = read_custom_event(raw(data={"b": 1, "a": "ä"}, subject="it", correlationid="c"))
    assert (draft.id, draft.source, draft.type) == ("1", "here", "com.example.told")
    assert (draft.subject, draft.correlation_id) == ("it", "c")
    assert json.loads(draft.data) == {"b": 1, "a": "ä"}


def test_data_may_be_left_out_and_other_attributes_are_passed_over() -> None:
    assert read_custom_event(raw(time="whenever", mine={"a": 1})).data == "null"


def test_the_largest_data_fit_and_one_byte_more_does_not() -> None:
    text = "x" * (DATA_MAX_BYTES - 2)
    assert len(read_custom_event(raw(data=text)).data) == DATA_MAX_BYTES
    with pytest.raises(TooLarge):
        read_custom_event(raw(data=text + "x"))


def test_data_that_are_longer_in_utf_8_are_measured_so() -> None:
    with pytest.raises(TooLarge):
        read_custom_event(
            json.dumps(json.loads(raw(data="ä" * 33_000)), ensure_ascii=False).encode()
        )


@pytest.mark.parametrize("kind", [f"{prefix}x" for prefix in RESERVED_TYPES])
def test_nobody_else_tells_what_flowdapt_tells(kind: str) -> None:
    with pytest.raises(InvalidInput, match="flowdapt alone"):
        read_custom_event(raw(type=kind))


@pytest.mark.parametrize(
    "wrong",
    [
        {"specversion": "0.3"}, {"specversion": 1.0}, {"id": ""}, {"id": 7}, {"id": "a b"},
        {"id": "x" * 201}, {"source": ""}, {"source": "a\nb"}, {"type": ""}, {"type": "a b"},
        {"type": "x" * 201}, {"type": None}, {"subject": "\x1b[2J"}, {"subject": "x" * 501},
        {"datacontenttype": "text/xml"}, {"causationdepth": -1}, {"causationdepth": "1"},
        {"causationdepth": True}, {"correlationid": ""}, {"data": "\u0000"}, {"data": "\ud800"},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_attributes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        read_custom_event(raw(**wrong))


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"[]", b"7", b"{", b"\xff", b"\x80\x04.", b'{"data":' * 9000]
)
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises((InvalidInput, TooLarge)):
        read_custom_event(payload)


def test_a_hundred_megabytes_are_refused_without_a_look() -> None:
    payload = b"[" * 100_000_000
    began = time.perf_counter()
    with pytest.raises(TooLarge):
        read_custom_event(payload)
    assert time.perf_counter() - began < 0.1


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_an_event_or_refused(payload: bytes) -> None:
    with pytest.raises((InvalidInput, TooLarge)):
        read_custom_event(payload)
