"""An error is told whatever it does: bounded, with the user's frames, never raising itself."""

from __future__ import annotations

from typing import Any

import pytest

from flowdapt.domain.errors import BadBinding, NonRetryable
from flowdapt.domain.task import ErrorInfo
from flowdapt.runtime.failures import TEXT_MAX, clean, describe


def told(error: BaseException, **more: Any) -> ErrorInfo:
    try:
        raise error
    except BaseException as raised:
        return describe(raised, stage="s", **more)


def test_type_message_and_bases_are_told() -> None:
    found = told(KeyError("k"), index=3)
    assert (found.type, found.message, found.stage, found.index) == (
        "builtins.KeyError",
        "'k'",
        "s",
        3,
    )
    assert found.bases[:2] == ("builtins.KeyError", "builtins.LookupError")
    assert found.retryable
    assert "test_failures.py" in found.traceback
    assert found.traceback.endswith("builtins.KeyError: 'k'\n")


def test_what_must_not_be_retried_says_so() -> None:
    assert not told(NonRetryable("no")).retryable
    assert not told(ValueError("no"), retryable=False).retryable


def test_a_fix_belongs_to_the_message() -> None:
    assert told(BadBinding("bad", fix="do this")).message == "bad (fix: do this)"


class Broken(Exception):
    def __init__(self, raised: BaseException) -> None:
        self.raised = raised

    def __str__(self) -> str:
        raise self.raised


@pytest.mark.parametrize("raised", [ValueError("x"), SystemExit(1), KeyboardInterrupt()])
def test_an_error_that_cannot_speak_is_told(raised: BaseException) -> None:
    assert "its __str__ raised" in told(Broken(raised)).message


def test_long_texts_keep_both_ends() -> None:
    text = told(ValueError("a" * 10_000_000 + "z")).message
    assert len(text) < TEXT_MAX + 100
    assert text.startswith("aaa")
    assert text.endswith("az")
    assert "characters cut" in text


def test_surrogates_become_text() -> None:
    clean("lone \ud800").encode()
    told(ValueError("lone \ud800")).message.encode()


def test_causes_are_told_before_their_effect() -> None:
    def chain() -> None:
        try:
            raise OSError("first")
        except OSError as error:
            raise ValueError("second") from error

    with pytest.raises(ValueError, match="second") as caught:
        chain()
    trace = describe(caught.value, stage="s").traceback
    assert trace.index("OSError: first") < trace.index("direct cause") < trace.index("second")


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert "other" in told(one).traceback


def test_groups_show_their_members() -> None:
    trace = told(ExceptionGroup("several", [ValueError("a"), KeyError("b")])).traceback
    assert "ValueError: a" in trace
    assert "KeyError: 'b'" in trace


def test_secrets_are_masked_in_message_and_traceback() -> None:
    found = told(ValueError("key"), mask=lambda text: text.replace("key", "***"))
    assert found.message == "***"
    assert "ValueError: ***" in found.traceback
