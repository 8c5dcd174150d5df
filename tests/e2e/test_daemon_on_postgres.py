"""The same daemon with its state in PostgreSQL: it runs, is killed, goes on, and keeps the password to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.e2e.daemons import Daemon

SLOW = "import time\ndef stage(seconds=1.0):\n    time.sleep(seconds)\n    return 'done'"


@pytest.mark.slow
def test_a_run_survives_the_daemon_that_was_killed(daemon: Daemon, postgres_url: str) -> None:
    daemon.environ["FLOWDAPT_DATABASE__URL"] = postgres_url
    daemon.start()
    daemon.define("slow", SLOW)
    assert daemon.run("slow", seconds=0.0)["result"] == "done"
    uid = daemon.run("slow", wait_s=0, seconds=2.0)["uid"]
    eventually(lambda: daemon.get(uid)["stages"][0]["state"] == "running", what="it runs")
    daemon.kill()
    daemon.start()
    run = daemon.json("GET", f"/api/v1/runs/{uid}", prefer="wait=30")
    assert (run["state"], run["result"]) == ("finished", "done")
    assert not (daemon.home / "flowdapt.db").exists()
    assert daemon.stop() == 0


@pytest.mark.slow
def test_the_password_may_be_a_secret_and_is_not_shown(daemon: Daemon, postgres_url: str) -> None:
    parts = urlsplit(postgres_url)
    user = parts.username or "postgres"
    host = parts.netloc.rpartition("@")[2]
    url = parts._replace(netloc=f"{user}:{{secret:pw}}@{host}").geturl()
    daemon.environ["FLOWDAPT_DATABASE__URL"] = url
    daemon.environ["FLOWDAPT_SECRET_PW"] = "hunter2-not-asked-for"
    daemon.start()
    status = daemon.ask("GET", "/api/v1/status").body.decode()
    assert "hunter2" not in status
    assert daemon.json("POST", "/api/v1/gc?dry_run=true")["runs"] == 0
    assert daemon.ask("POST", "/api/v1/backup").status == 409
    assert "hunter2" not in daemon.said()
