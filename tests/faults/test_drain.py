"""A shutdown under work ends in its time and loses nothing; told twice, it ends at once."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 2.0


def test_a_shutdown_under_endless_work_is_bounded_and_a_second_signal_is_quick(
    record_property: Callable[[str, object], None],
) -> None:
    sleeping = "import time\n\ndef endless():\n    time.sleep(3600)\n"
    environment = {"FLOWDAPT_DRAIN_TIMEOUT": f"{TIMEOUT_S}s", "FLOWDAPT_LOCAL__SLOTS": "2"}
    with workstation(**environment) as station:
        station.module("sleeping", sleeping)
        station.start()
        with Client(transport=UnixTransport(station.socket_path)) as client:
            work = workflow("work", stage("a", "user_modules.sleeping.endless"))
            client.apply([work])
            uids = [client.run("work").uid for _ in range(6)]
            eventually(lambda: _one_runs(client, uids))
        began = time.monotonic()
        assert station.end() == 0
        drained = time.monotonic() - began
        process = station.start(FLOWDAPT_DRAIN_TIMEOUT="60s")
        with Client(transport=UnixTransport(station.socket_path)) as client:
            runs = [client.runs.get(uid) for uid in uids]
            assert all(not run.state.terminal for run in runs), "an accepted run is lost"
            assert [one.losses for run in runs for one in run.stages] == [0] * len(uids)
            eventually(lambda: _one_runs(client, uids))
        process.send_signal(signal.SIGTERM)
        eventually(lambda: "draining" in station.output().rpartition('"ready"')[2])
        began = time.monotonic()
        station.end()
        quick = time.monotonic() - began
        record_property(
            f"P22 seconds to drain {TIMEOUT_S:g} s, told twice", f"{drained:.2f}, {quick:.2f}"
        )
        assert TIMEOUT_S <= drained <= TIMEOUT_S + 5
        assert quick < 5
        station.doctor()


def _one_runs(client: Client, uids: list[str]) -> bool:
    return any(client.runs.get(uid).stages[0].state == "running" for uid in uids)
