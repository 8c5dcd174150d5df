from __future__ import annotations

from datetime import timedelta

import pytest

from flowdapt.tui.model.query import BadFilter, parse_filter, span_s
from tests.tui.fake import NOW


def test_a_filter_becomes_what_the_server_is_asked() -> None:
    query = parse_filter("state=failed,running wf~now since=2d ns=lab trigger=nightly", now=NOW)
    assert query.parameters == {
        "state": ["failed", "running"], "q": "now", "since": NOW - timedelta(days=2),
        "namespace": "lab", "trigger": "nightly", "sort": "-created",
    }  # fmt: skip


def test_a_word_without_a_sign_is_searched_for() -> None:
    assert parse_filter("otter").given == {"q": "otter"}


def test_an_exact_workflow_and_a_label_are_asked_for_by_name() -> None:
    assert parse_filter("wf=train label=team:ml").given == {
        "workflow": "train",
        "label": ["team=ml"],
    }


def test_an_empty_line_is_no_filter() -> None:
    assert parse_filter("  ").given == {}


def test_durations_are_compared_on_the_server() -> None:
    assert parse_filter("dur>5m dur<1h").given == {"longer": 300.0, "shorter": 3600.0}


def test_an_instant_may_be_a_date() -> None:
    assert parse_filter("since=2026-11-24T10:00", now=NOW).given["since"] == NOW - timedelta(
        hours=2
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("state=runing", "there is no such state"),
        ("color=red", "there is no color="),
        ("since=soon", "no time span"),
        ("dur>fast", "no time span"),
        ("wf=a wf=b", "said twice"),
        ("a b", "said twice"),
    ],
)
def test_what_means_nothing_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(BadFilter, match=said) as caught:
        parse_filter(text)
    assert caught.value.fix


def test_spans_add_up() -> None:
    assert span_s("1h30m") == 5400
