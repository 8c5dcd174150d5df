"""What conditions cost: one event against a thousand rules, and what reading the event takes at least."""

from __future__ import annotations

from typing import Any

from benchmarks.figure import Figure
from benchmarks.timing import interleave
from flowdapt.domain.conditions import Condition, parse_condition
from flowdapt.domain.events import WORKFLOW_FINISHED

__all__ = ["conditions"]

_RULES = 1_000
_LIMIT_MS = 10
_EVENT: dict[str, Any] = {
    "type": WORKFLOW_FINISHED,
    "data": {
        "workflow": f"w{_RULES // 2}",
        "state": "failed",
        "result": {"loss": 0.3, "models": [{"loss": loss / 10} for loss in range(10)]},
    },
}


def conditions() -> list[Figure]:
    """Ask a thousand conditions about one event whose type all of them name."""
    usual = [parse_condition(_usual(number)) for number in range(_RULES)]
    wordy = [parse_condition(_wordy(number)) for number in range(_RULES)]
    few, many, floor = interleave(
        [lambda: _ask(usual), lambda: _ask(wordy), lambda: _read_only(usual)], 50
    )
    return [
        Figure(
            f"one event, {_RULES:,} rules of {name}, ms",
            sample.words,
            floor.words,
            sample.median_s * 1000,
            f"<= {_LIMIT_MS}",
            sample.median_s * 1000 <= _LIMIT_MS,
        )
        for name, sample in (("three clauses", few), ("a pattern and a list", many))
    ]


def _usual(number: int) -> dict[str, Any]:
    return {
        "and": [
            {"eq": [{"var": "type"}, WORKFLOW_FINISHED]},
            {"eq": [{"var": "data.workflow"}, f"w{number}"]},
            {"eq": [{"var": "data.state"}, "failed"]},
        ]
    }


def _wordy(number: int) -> dict[str, Any]:
    return {
        "and": [
            {"eq": [{"var": "type"}, WORKFLOW_FINISHED]},
            {"matches": [{"var": "data.workflow"}, "^w[0-9]+$"]},
            {"any": [{"var": "data.result.models"}, {"gt": [{"var": "item.loss"}, 0.1 * (number % 10)]}]},
        ]
    }  # fmt: skip


def _ask(rules: list[Condition]) -> int:
    return sum(rule.holds(_EVENT) for rule in rules)


def _read_only(rules: list[Condition]) -> int:
    """Do in plain Python what the usual rule asks, to see what the language adds."""
    return sum(
        _EVENT["type"] == WORKFLOW_FINISHED
        and _EVENT["data"]["workflow"] == f"w{number}"
        and _EVENT["data"]["state"] == "failed"
        for number in range(len(rules))
    )
