"""The journal of a real daemon: told live over restarts, added to from a terminal, read by many at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.events import Load, measure
from flowdapt.client import Client
from tests.waiting import eventually

if TYPE_CHECKING:
    from tests.e2e.daemons import Daemon

STAGE = "def stage():\n    return 1"
LIFE = "com.event.system."


def journal(daemon: Daemon, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = daemon.json("GET", f"/api/v1/events?limit=500&{query}")["items"]
    return items


def said(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"FLOWDAPT_HOME": str(daemon.home), "FLOWDAPT_AUTOSTART": "0"}
    return subprocess.run(
        [sys.executable, "-m", "flowdapt", *words],
        env=environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip


@contextmanager
def following(daemon: Daemon, **chosen: Any) -> Iterator[list[dict[str, Any]]]:
    """Collect what a client is told, in the background, until the block ends."""
    got: list[dict[str, Any]] = []
    ready, over = threading.Event(), threading.Event()

    def collect() -> None:
        with Client(daemon.socket) as client:
            for event in client.events.follow(after=0, **chosen):
                got.append(event)
                ready.set()
                if over.is_set():
                    return

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield got
    over.set()
    with Client(daemon.socket) as client:
        client.events.post("org.example.over")
    thread.join(30)
    assert not thread.is_alive()


def test_a_follower_misses_nothing_and_hears_nothing_twice_over_kills_of_the_daemon(
    daemon: Daemon,
) -> None:
    daemon.start()
    daemon.define("flow", STAGE)
    with following(daemon) as got:
        for _ in range(3):
            daemon.run("flow")
            daemon.kill()
            daemon.start()
        daemon.run("flow")
        newest = journal(daemon, "tail=true")[-1]["cursor"]
        eventually(lambda: got[-1]["cursor"] >= newest, what="the last event")
    cursors = [event["cursor"] for event in got]
    every = [event["cursor"] for event in journal(daemon) if event["cursor"] <= cursors[-1]]
    assert cursors == every
    ends = [e for e in got if e["type"].endswith(".workflow_finished")]
    assert len(ends) == 4


def test_the_life_of_the_daemon_is_in_its_journal(daemon: Daemon) -> None:
    daemon.start()
    daemon.stop()
    daemon.start()
    eventually(lambda: len(journal(daemon, "type=com.event.executor.*")) == 3)
    kinds = [event["type"] for event in journal(daemon, f"type={LIFE}*")]
    assert kinds == [
        f"{LIFE}daemon_started", f"{LIFE}drain_began", f"{LIFE}daemon_stopped",
        f"{LIFE}daemon_started",
    ]  # fmt: skip


def test_a_cancelled_and_a_deleted_run_are_told(daemon: Daemon) -> None:
    daemon.start()
    daemon.define("slow", "import time\ndef stage():\n    time.sleep(600)")
    uid = daemon.run("slow", wait_s=0)["uid"]
    eventually(lambda: daemon.get(uid)["stages"][0]["state"] == "running", timeout_s=30)
    daemon.json("POST", f"/api/v1/runs/{uid}/cancel")
    eventually(lambda: daemon.get(uid)["state"] == "cancelled", timeout_s=30)
    told = [event["type"].rsplit(".", 1)[-1] for event in journal(daemon, f"run={uid}")]
    assert told.index("workflow_cancelling") < told.index("workflow_finished")
    assert daemon.ask("DELETE", f"/api/v1/runs/{uid}").ok
    (gone,) = journal(daemon, "type=*.workflow_deleted")
    assert gone["data"] == {"uid": uid, "workflow": "slow", "reason": "user"}


def test_a_worker_that_dies_is_told_as_a_loss(daemon: Daemon) -> None:
    daemon.start()
    daemon.define("poison", "import os\ndef stage():\n    os._exit(7)")
    uid = daemon.run("poison", wait_s=60)["uid"]
    losses = journal(daemon, f"run={uid}&type=*.stage_lost")
    assert [event["data"]["losses"] for event in losses] == [1, 2]
    assert journal(daemon, f"run={uid}&type=*.stage_finished")[0]["data"]["state"] == "failed"


def test_events_are_posted_and_followed_from_a_terminal_over_a_restart(daemon: Daemon) -> None:
    daemon.start()
    said(daemon, "post", "org.example.first", "--data", '{"n": 1}', "--id", "one", "-q")
    said(daemon, "post", "org.example.first", "--data", '{"n": 2}', "--id", "one", "-q")
    shown = said(daemon, "events", "--type", "org.example.*", "-o", "json")
    (event,) = json.loads(shown.stdout)["items"]
    assert (event["data"], event["source"]) == ({"n": 1}, "flowdapt-cli")
    with subprocess.Popen(
        [sys.executable, "-m", "flowdapt", "events", "-f", "--type", "org.*", "-o", "jsonl"],
        env=os.environ | {"FLOWDAPT_HOME": str(daemon.home), "FLOWDAPT_AUTOSTART": "0"},
        stdout=subprocess.PIPE,
    ) as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["id"] == "one"
        said(daemon, "post", "com.other", "-q")
        said(daemon, "post", "org.example.second", "-q")
        assert json.loads(follower.stdout.readline())["type"] == "org.example.second"
        daemon.stop()
        daemon.start()
        said(daemon, "post", "org.example.third", "-q")
        assert json.loads(follower.stdout.readline())["type"] == "org.example.third"
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 130


def test_readers_that_are_stuck_cost_the_others_nothing(daemon: Daemon) -> None:
    daemon.start()
    found = measure(daemon.socket, daemon.pid, Load(readers=12, stuck=3, per_s=300, seconds=4.0))
    assert found.missing == 0
    assert found.posted >= 600
    assert found.grown_mib <= 64
