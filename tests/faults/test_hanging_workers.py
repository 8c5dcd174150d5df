"""Workers that never come up hold their stages only: everything else is answered as quickly as before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable

HANGS = """
import os
import time

with open(os.path.join(os.environ["FLOWDAPT_HOME"], "hanging.txt"), "a") as file:
    file.write("x")
time.sleep(3600)


def never():
    return 1
"""
SLOTS = 2
PROBES = 200


def test_the_api_answers_quickly_while_every_worker_hangs_at_its_start(
    record_property: Callable[[str, object], None],
) -> None:
    with workstation(FLOWDAPT_LOCAL__SLOTS=str(SLOTS)) as station:
        station.module("hangs", HANGS)
        station.module("witness", witness.SOURCE)
        station.start()
        with Client(transport=UnixTransport(station.socket_path)) as client:
            hanging = [stage(f"h{n}", "user_modules.hangs.never") for n in range(8)]
            client.apply([workflow("hanging", *hanging)])
            run = client.run("hanging")
            marks = station.home / "hanging.txt"
            eventually(lambda: marks.exists() and len(marks.read_text()) == SLOTS)
            waits = sorted(_took(lambda: client.runs.get(run.uid)) for _ in range(PROBES))
            now = client.runs.get(run.uid)
            # They hang before any body began, so none is called running, and why is told.
            assert [one.state for one in now.stages] == ["pending"] * len(hanging)
            assert "stage.waits_for_slot" in {
                reason.code for reason in client.runs.explain(run.uid)
            }
            client.runs.cancel(run.uid)
            eventually(lambda: client.runs.get(run.uid).state == "cancelled", timeout_s=10)
        p99 = waits[int(PROBES * 0.99) - 1]
        record_property("F58 p99 of a request, seconds", f"{p99:.4f}")
        assert p99 < 0.2
        station.doctor()


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
