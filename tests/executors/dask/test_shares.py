"""Resources of stages are labels of Dask's workers, or are refused in words."""

from __future__ import annotations

import pytest

from flowdapt.plugins.executors.dask.shares import Labels

WORKERS = {
    "a": {"resources": {"GPU": 1.0, "tokens": 4.0}},
    "b": {"resources": {"GPU": 1.0}},
    "c": {},
}


def test_totals_are_told_apart_from_what_one_worker_has() -> None:
    labels = Labels(WORKERS)
    assert labels.gpus() == 2.0
    assert labels.custom() == {"tokens": 4.0}


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        ({}, {}),
        ({"cpus": 2.0}, {}),
        ({"gpus": 0.5, "cpus": 1.0}, {"GPU": 0.5}),
        ({"tokens": 4.0, "memory": 1e9}, {"tokens": 4.0}),
        ({"gpus": 0.0}, {}),
    ],
)
def test_what_there_is_is_asked_for_by_its_label(
    wanted: dict[str, float], asked: dict[str, float]
) -> None:
    assert Labels(WORKERS).asked(wanted) == (asked, [])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [({"gpus": 2.0}, "one worker has 1 at most"), ({"tpu": 1.0}, "no worker has any")],
)
def test_what_nobody_can_give_is_said(wanted: dict[str, float], words: str) -> None:
    _, lacking = Labels(WORKERS).asked(wanted)
    assert [line for line in lacking if words in line]


def test_a_worker_that_went_is_waited_for() -> None:
    before = Labels(WORKERS)
    after = Labels({"c": {}}, before.most)
    assert after.asked({"tokens": 2.0}) == ({"tokens": 2.0}, [])
    assert after.gpus() == 0.0


def test_the_first_worker_is_waited_for() -> None:
    assert Labels({}).asked({"gpus": 1.0, "tokens": 1.0, "cpus": 1.0}) == (
        {"GPU": 1.0, "tokens": 1.0},
        [],
    )
