"""A daemon that is killed in the middle of a switch has switched or has not, and leaves no cluster behind."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest

from flowdapt.client.repeating import Repeats
from flowdapt.domain.errors import FlowdaptError
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

# httpx leaves its socket open when the daemon dies between two of its steps; the kills see to that.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize(
    ("place", "active", "way_back"),
    [("switch.before_store", "local", None), ("switch.after_store", "dask", "local")],
)
def test_a_kill_in_the_middle_of_a_switch_is_survived(
    place: str, active: str, way_back: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody starts the daemon again while the client would wait for it.
    monkeypatch.setattr("flowdapt.client.client.Repeats", partial(Repeats, patience_s=0.2))
    with workstation(FLOWDAPT_LOCAL__SLOTS="1") as station:
        process = station.start(FLOWDAPT_FAILPOINT=f"{place}:kill")
        with station.client() as client, suppress(FlowdaptError):
            client.use("dask")
        assert process.wait(60) == -9
        eventually(lambda: not station.descendants(), timeout_s=15, what="no cluster is left")
        station.start()
        with station.client() as client:
            assert client.status()["executor"]["name"] == active
            client.apply([workflow("w", stage("a", "flowdapt.runtime.smoke:answer"))])
            run = client.run("w", {"question": 3}, wait=True)
            assert (run.executor, run.result) == (active, {"question": 3, "answer": 9})
            if way_back is not None:
                assert client.use("-").active == way_back
        station.doctor()
