"""The same daemon on a real PostgreSQL, by `database.url` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import witness
from tests.waiting import eventually
from tests.workstation import stage, workflow, workstation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workstation import Workstation


@pytest.fixture
def station(postgres_url: str) -> Iterator[Workstation]:
    with workstation(FLOWDAPT_DATABASE__URL=postgres_url) as made:
        made.module("witness", witness.SOURCE)
        yield made


def test_a_run_goes_through_a_kill_and_ends_with_its_result(station: Workstation) -> None:
    station.start()
    document = workflow(
        "w",
        stage("numbers", "user_modules.witness.numbers"),
        stage("each", "user_modules.witness.item", "numbers", type="parameterized"),
        stage("last", "user_modules.witness.slow", "each"),
    )
    with station.client() as client:
        client.apply([document])
        uid = client.run("w", {"n": 100}, key="once").uid
        assert client.run("w", {"n": 100}, key="once").uid == uid
        eventually(lambda: client.runs.get(uid).stages[1].state == "finished")
    station.kill()
    station.start()
    with station.client() as client:
        run = client.runs.wait(uid, timeout=30)
        assert (run.state, run.result) == ("finished", 1)
        assert "postgresql" in client.status()["database"]
        cancelled = client.run("w")
        client.runs.cancel(cancelled.uid)
        assert client.runs.wait(cancelled.uid, timeout=30).state in ("cancelled", "finished")
        assert len(client.runs.list().items) == 2
    assert station.end() == 0


def test_a_database_without_a_server_refuses_the_start_with_its_reason() -> None:
    with workstation(FLOWDAPT_DATABASE__URL="postgresql://nobody@/none?host=/nowhere") as station:
        process = station.spawn()
        assert process.wait(60) not in (0, -9)
        assert "database" in station.output()


def test_a_database_elsewhere_without_tls_is_refused_with_the_way_out() -> None:
    with workstation(FLOWDAPT_DATABASE__URL="postgresql://u:p@db.example.org/d") as station:
        done = station.cli("up")
        assert done.returncode != 0
        assert "start.insecure_database" in done.stderr
        assert "database.insecure = true" in done.stderr
