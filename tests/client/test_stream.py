"""Server-sent events, however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.client import stream
from flowdapt.client.stream import EventDecoder, ServerEvent
from flowdapt.domain.errors import TooLarge

TEXT = (
    b': open\r\n\r\nevent: run\nid: 1\ndata: {"a": 1}\n\n'
    b"data: one\r\ndata: two\r\nid: 2\r\n\r\n: keep-alive\n\ndata:\xc3\xa9\r\rid: 9\n\n"
)
EVENTS = [
    ServerEvent("run", '{"a": 1}', "1"),
    ServerEvent("message", "one\ntwo", "2"),
    ServerEvent("message", "é", "2"),
]


@given(st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_events_are_the_same_however_the_bytes_come(cuts: list[int]) -> None:
    decoder = EventDecoder()
    places = [0, *sorted(cuts), len(TEXT)]
    found = [
        event
        for start, stop in itertools.pairwise(places)
        for event in decoder.feed(TEXT[start:stop])
    ]
    assert found == EVENTS
    assert decoder.last_id == "9"


def test_an_unfinished_event_is_not_told() -> None:
    assert list(EventDecoder().feed(b"data: half")) == []


def test_a_new_connection_knows_the_last_id_but_no_rest() -> None:
    decoder = EventDecoder()
    list(decoder.feed(b"id: 7\ndata: x\n\ndata: ha"))
    fresh = decoder.restarted()
    assert fresh.last_id == "7"
    assert list(fresh.feed(b"data: y\n\n")) == [ServerEvent("message", "y", "7")]


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 80, b"data: xxxxxxxxx\n" * 9])
def test_an_event_without_end_is_refused(endless: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_LONGEST_EVENT", 64)
    with pytest.raises(TooLarge):
        list(EventDecoder().feed(endless))
