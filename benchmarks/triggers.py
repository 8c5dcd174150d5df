"""Measure triggers: from an event to the run that it starts, and what a thousand rules cost at rest."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from benchmarks.figure import Figure
from benchmarks.timing import Sample, cpu_seconds, now
from benchmarks.workstation import Workstation, open_workstation, stage, workflow

__all__ = ["triggers"]

# A condition fires 100 times a minute at most.
_TIMES = 80
_PAUSE_S = 0.02
_RULES = 1_000
_WATCHED_S = 60.0
_START_MAX = 3.0
_REST_MAX_PERCENT = 1.0


def triggers() -> list[Figure]:
    """Start runs by events and by requests in turn; then look at an idle daemon with many rules."""
    with open_workstation() as station:
        station.client.apply(
            [workflow("stamp", stage("only", "stamp")), _condition("start", "bench", "stamp")]
        )
        figures = [_event_to_run(station)]
        station.client.apply([_at_rest(number) for number in range(_RULES)])
        time.sleep(65)
        used = cpu_seconds(station.pid)
        time.sleep(_WATCHED_S)
        rest = (cpu_seconds(station.pid) - used) / _WATCHED_S * 100
    figures.append(
        Figure(
            f"{_RULES:,} rules of which none is due, % of a core",
            f"{rest:.2f}",
            "-",
            rest,
            f"<= {_REST_MAX_PERCENT:g}",
            rest <= _REST_MAX_PERCENT,
        )
    )
    return figures


def _event_to_run(station: Workstation) -> Figure:
    """Compare an event's way into a stage's body with the answer to a request for that run."""
    posts = _Posts(station)
    answered: list[float] = []
    for number in range(_TIMES + 10):
        posts.event({"sent": time.time()})
        time.sleep(_PAUSE_S)
        began = now()
        posts.run("stamp", {"sent": time.time()})
        answered.append(now() - began)
        time.sleep(_PAUSE_S)
        if number == 9:
            answered.clear()
    time.sleep(1)
    begun: dict[str, list[float]] = {"trigger": [], "api": []}
    for run in station.client.runs.list(workflow="stamp", limit=500).items:
        sent, at = station.client.runs.get(run.uid).result
        begun[run.source].append(at - sent)
    by_event = Sample(tuple(begun["trigger"][:_TIMES]))
    by_request = Sample(tuple(begun["api"][:_TIMES]))
    submit = Sample(tuple(answered))
    assert len(by_event.times_s) == _TIMES
    ratio = by_event.median_s / submit.median_s
    return Figure(
        "event sent to stage begun / submitting that run",
        f"{by_event.words}; a run asked for begins after {by_request.words}",
        submit.words,
        ratio,
        f"<= {_START_MAX:g}",
        ratio <= _START_MAX,
    )


class _Posts:
    """One open connection that posts, with nothing of a client between."""

    def __init__(self, station: Workstation) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(station.client.status()["socket"])

    def event(self, data: dict[str, Any]) -> None:
        self._post(
            "/api/v1/events",
            {"specversion": "1.0", "source": "bench", "type": "bench", "data": data},
        )

    def run(self, name: str, given: dict[str, Any]) -> None:
        self._post(f"/api/v1/workflows/{name}/runs", {"input": given})

    def _post(self, path: str, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + text)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(65536)
        answer, _, rest = received.partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 20"), received
        fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:])
        while len(rest) < int(fields[b"content-length"]):
            rest += self._socket.recv(65536)


def _condition(name: str, kind: str, target: str) -> dict[str, Any]:
    return _rule(
        name,
        "condition",
        {"eq": [{"var": "type"}, kind]},
        {"workflow": target, "input": {"sent": {"var": "data.sent"}}},
    )


def _at_rest(number: int) -> dict[str, Any]:
    """Return a rule that is not due while it is looked at: half of them wait for events."""
    if number % 2:
        return _condition(f"rest-{number}", f"never-{number}", "noop")
    return _rule(f"rest-{number}", "schedule", ["0 0 1 1 *"], {"workflow": "noop"})


def _rule(name: str, kind: str, when: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    action = {"target": "run_workflow", "parameters": parameters}
    spec = {"type": kind, "rule": when, "overlap": "allow", "actions": [action]}
    return {"kind": "trigger_rule", "metadata": {"name": name}, "spec": spec}
