"""Nothing of a secret is seen: not whole, not encoded, not cut in pieces."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as some

from flowdapt.runtime.masking import NOTHING, Masker, StreamMasker, masker_of

SECRET = "correct-horse-battery"

words = some.text(some.characters(codec="utf-8"), max_size=20)


@given(before=words, after=words)
def test_a_value_is_masked_wherever_it_stands(before: str, after: str) -> None:
    assert SECRET not in Masker([SECRET]).text(before + SECRET + after)


@given(before=some.binary(max_size=20), after=some.binary(max_size=20))
def test_base64_is_masked_at_every_alignment(before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = Masker([SECRET]).bytes(encode(before + SECRET.encode() + after))
        assert b"***" in shown
        assert base64.b64encode(SECRET.encode()[3:15]) not in shown


@given(some.lists(some.integers(1, 10), max_size=30), words, words)
def test_pieces_show_no_more_than_the_whole(cuts: list[int], before: str, after: str) -> None:
    text = f"{before}{SECRET}{after}{SECRET}{before}".encode()
    masker = Masker([SECRET, "correct"])
    stream = StreamMasker(masker)
    shown = b""
    for cut in cuts:
        shown += stream.feed(text[:cut])
        assert SECRET.encode() not in shown
        text = text[cut:]
    shown += stream.feed(text) + stream.flush()
    assert SECRET.encode() not in shown
    assert shown.count(b"***") >= 2


# Few letters, so that one secret often ends as another one, or its base64, begins.
few = some.text("abc", min_size=4, max_size=8)


@given(some.lists(few, min_size=1, max_size=3), some.text("abcx", max_size=60), some.data())
def test_a_stream_shows_what_the_whole_text_would(
    secrets: list[str], text: str, data: some.DataObject
) -> None:
    masker = Masker(secrets)
    stream, rest, shown = StreamMasker(masker), text.encode(), b""
    while rest:
        size = data.draw(some.integers(1, 10))
        shown += stream.feed(rest[:size])
        rest = rest[size:]
    assert shown + stream.flush() == masker.bytes(text.encode())


def test_a_secret_that_ends_as_its_base64_begins_is_masked() -> None:
    secret = "s3cr3t-Value-0123456789abc"
    assert base64.b64encode(secret.encode()).startswith(b"c")
    stream = StreamMasker(Masker([secret]))
    shown = b"".join(stream.feed(piece) for piece in (b"plain", b" ", secret.encode(), b"\n"))
    assert shown + stream.flush() == b"plain ***\n"


def test_what_is_no_secret_passes_unchanged() -> None:
    stream = StreamMasker(Masker([SECRET]))
    assert stream.feed(b"correct-horse") == b""
    assert stream.feed(b"man") == b"correct-horseman"


def test_the_longer_of_two_nested_secrets_is_masked_first() -> None:
    assert Masker(["abcd", "abcdefgh"]).text("x abcdefgh x") == "x *** x"


def test_short_values_are_not_masked() -> None:
    assert Masker(["1", ""]).text("1 of 10") == "1 of 10"


def test_a_secret_of_several_lines_is_masked_across_them() -> None:
    key = "-----BEGIN-----\nabcdef\n-----END-----"
    stream = StreamMasker(Masker([key]))
    shown = b"".join(stream.feed(line) for line in f"key: {key}\n".encode().splitlines(True))
    assert shown + stream.flush() == b"key: ***\n"


def test_without_secrets_nothing_is_made() -> None:
    assert masker_of({}) is NOTHING
    assert not NOTHING
    assert NOTHING.text("anything") == "anything"
