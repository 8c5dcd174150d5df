"""A daemon that is stopped for a while, as by a suspended machine, goes on where it was: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import time

import pytest

from flowdapt.client import Client
from flowdapt.client.unix import UnixTransport
from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [5, 45])
def test_a_stopped_daemon_goes_on_and_does_nothing_twice(seconds: int) -> None:
    with workstation(FLOWDAPT_LOCAL__SLOTS="2") as station:
        station.module("witness", witness.SOURCE)
        process = station.start()
        names = [f"s{n}" for n in range(12)]
        with Client(transport=UnixTransport(station.socket_path)) as client:
            client.apply([workflow("w", *(stage(n, "user_modules.witness.slow") for n in names))])
            uid = client.run("w").uid
            eventually(lambda: len(witness.read(station)) >= 4)
            os.kill(process.pid, signal.SIGSTOP)
            try:
                time.sleep(seconds)  # the fault itself
            finally:
                os.kill(process.pid, signal.SIGCONT)
            eventually(lambda: client.runs.get(uid).state.terminal, timeout_s=30, every_s=0.1)
            run = client.runs.get(uid)
            assert client.status()["pid"] == process.pid
        witness.check(station, [run])
        began = [line.stage for line in witness.read(station) if line.word == "begin"]
        assert sorted(began) == sorted(names)
        assert [one.losses for one in run.stages] == [0] * len(names)
        assert station.end() == 0
        station.doctor()
